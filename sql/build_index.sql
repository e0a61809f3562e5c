-- The walk from the root goes by the index of the primary key, so that a second
-- session can make these two meanwhile. SECURITY DEFINER for that: it takes the
-- owner of the tables.
CREATE OR REPLACE FUNCTION relpack.build_index()
RETURNS void
LANGUAGE plpgsql
VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET maintenance_work_mem = '128MB'
SET lock_timeout = '5s'
SET client_min_messages = warning
AS $$
BEGIN
    CREATE UNIQUE INDEX IF NOT EXISTS staged_object_zoid ON relpack.staged_object (zoid);
    CREATE INDEX IF NOT EXISTS object_inref_inref ON relpack.object_inref (inref);
    ANALYZE relpack.object_inref;
    UPDATE relpack.storage SET inrefs = (SELECT count(*) FROM relpack.object_inref);
EXCEPTION
    WHEN unique_violation OR duplicate_table THEN
        -- A session that a killed run left behind was still at it.
        IF to_regclass('relpack.staged_object_zoid') IS NULL OR to_regclass('relpack.object_inref_inref') IS NULL THEN
            RAISE;
        END IF;
END;
$$;

COMMENT ON FUNCTION relpack.build_index() IS
    'Step of relpack.build_step(): the indexes of relpack.staged_object, and of relpack.object_inref by referrer, unless they are there; counts these. A second session may call it meanwhile.';
