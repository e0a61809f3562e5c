CREATE OR REPLACE FUNCTION relpack.discard_examined()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- TRUNCATE costs more than a small chunk.
    IF EXISTS (SELECT FROM relpack.examined_object)
       OR EXISTS (SELECT FROM relpack.examined_inref)
       OR EXISTS (SELECT FROM relpack.examined_problem) THEN
        TRUNCATE relpack.examined_object, relpack.examined_inref, relpack.examined_problem;
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.discard_examined() IS
    'Forgets what a chunk read and did not apply; relpack.pending still names it.';
