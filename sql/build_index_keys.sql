-- One a call: to make an index again because a later one met a lock would take
-- long. Only the index of the primary key: to attach it takes a strong lock.
-- SECURITY DEFINER: it takes the owner of the tables.
CREATE OR REPLACE FUNCTION relpack.build_index_keys()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET maintenance_work_mem = '32MB'
SET max_parallel_maintenance_workers = 0
SET lock_timeout = '5s'
SET client_min_messages = warning
AS $$
DECLARE
    v_staged boolean := to_regclass('relpack.staged_object_zoid') IS NOT NULL;
BEGIN
    PERFORM relpack.require_packer();
    IF NOT v_staged THEN
        CREATE UNIQUE INDEX staged_object_zoid ON relpack.staged_object (zoid);
    ELSIF to_regclass('relpack.object_inref_zoid') IS NULL THEN
        CREATE UNIQUE INDEX object_inref_zoid ON relpack.object_inref (zoid, inref);
    ELSE
        RETURN false;
    END IF;
    RETURN true;
EXCEPTION
    WHEN unique_violation OR duplicate_table THEN
        -- A session that a killed run left behind was still at it.
        IF to_regclass(CASE WHEN v_staged THEN 'relpack.object_inref_zoid' ELSE 'relpack.staged_object_zoid' END) IS NULL THEN
            RAISE;
        END IF;
        RETURN true;
END;
$$;

COMMENT ON FUNCTION relpack.build_index_keys() IS
    'Step of relpack.build_step(): one of the indexes that relpack.build_enter() needs, of relpack.staged_object and of the '
    'primary key of relpack.object_inref; false when both are there. '
    'A second session may call it while relpack.build_mark() is at work.';
