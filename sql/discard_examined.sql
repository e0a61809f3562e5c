CREATE OR REPLACE FUNCTION relpack.discard_examined()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.clear_scratch('relpack.examined_object'),
            relpack.clear_scratch('relpack.examined_inref'),
            relpack.clear_scratch('relpack.examined_problem');
END;
$$;

COMMENT ON FUNCTION relpack.discard_examined() IS
    'Forgets what a chunk read and did not apply; relpack.pending still names it.';
