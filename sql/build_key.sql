-- Only the index: to make it a primary key takes a strong lock. SECURITY
-- DEFINER: it takes the owner of the table.
CREATE OR REPLACE FUNCTION relpack.build_key()
RETURNS void
LANGUAGE plpgsql
VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET maintenance_work_mem = '128MB'
SET lock_timeout = '5s'
SET client_min_messages = warning
AS $$
BEGIN
    CREATE UNIQUE INDEX IF NOT EXISTS object_inref_zoid ON relpack.object_inref (zoid, inref);
EXCEPTION
    WHEN unique_violation OR duplicate_table THEN
        -- A session that a killed run left behind was still at it.
        IF to_regclass('relpack.object_inref_zoid') IS NULL THEN
            RAISE;
        END IF;
END;
$$;

COMMENT ON FUNCTION relpack.build_key() IS
    'Step of relpack.build_step(): the index of the primary key of relpack.object_inref, unless it is there.';
