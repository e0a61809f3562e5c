CREATE OR REPLACE FUNCTION relpack.apply_discard()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- See relpack.apply_join().
    PERFORM pg_advisory_xact_lock(1919249520, 2);
    PERFORM relpack.scratch_clear('relpack.examined_object'),
            relpack.scratch_clear('relpack.examined_inref'),
            relpack.scratch_clear('relpack.examined_problem'),
            relpack.scratch_clear('relpack.examined_foreign');
END;
$$;

COMMENT ON FUNCTION relpack.apply_discard() IS
    'Forgets what a chunk read and did not apply; relpack.pending still names it.';
