CREATE OR REPLACE FUNCTION relpack.discard_examined()
RETURNS void
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT relpack.clear_scratch('relpack.examined_object'),
           relpack.clear_scratch('relpack.examined_inref'),
           relpack.clear_scratch('relpack.examined_problem');
$$;

COMMENT ON FUNCTION relpack.discard_examined() IS
    'Forgets what a chunk read and did not apply; relpack.pending still names it.';
