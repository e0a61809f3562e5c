CREATE OR REPLACE FUNCTION relpack.discard_examined()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- See relpack.join_packer().
    PERFORM pg_advisory_xact_lock(1919249520, 2);
    PERFORM relpack.clear_scratch('relpack.examined_object'),
            relpack.clear_scratch('relpack.examined_inref'),
            relpack.clear_scratch('relpack.examined_problem'),
            relpack.clear_scratch('relpack.examined_foreign');
END;
$$;

COMMENT ON FUNCTION relpack.discard_examined() IS
    'Forgets what a chunk read and did not apply; relpack.pending still names it.';
