-- The walk from the root goes by this index. SECURITY DEFINER for the reason
-- that relpack.build_index_keys() has.
CREATE OR REPLACE FUNCTION relpack.build_index_inref()
RETURNS void
LANGUAGE plpgsql
VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET maintenance_work_mem = '32MB'
SET lock_timeout = '5s'
SET client_min_messages = warning
AS $$
BEGIN
    PERFORM relpack.require_packer();
    CREATE INDEX IF NOT EXISTS object_inref_inref ON relpack.object_inref (inref);
EXCEPTION
    WHEN unique_violation OR duplicate_table THEN
        -- A session that a killed run left behind was still at it.
        IF to_regclass('relpack.object_inref_inref') IS NULL THEN
            RAISE;
        END IF;
END;
$$;

COMMENT ON FUNCTION relpack.build_index_inref() IS
    'Step of relpack.build_step(): the index of relpack.object_inref by referrer, unless it is there.';
