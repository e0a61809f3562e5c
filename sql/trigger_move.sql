-- AFTER UPDATE row trigger of object_state, for rows whose zoid was changed: the
-- statement's trigger sees the new ones alone. RelStorage never does it; who
-- mends a storage in psql may. Nothing is cast on the way: on a table of another
-- shape that would run code of its owner with the rights of relpack's.
CREATE OR REPLACE FUNCTION relpack.trigger_move()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, relpack, pg_temp
AS $$
BEGIN
    IF (tg_table_schema, tg_table_name) <> ('public', 'object_state') THEN
        -- See relpack.trigger_delete.
        RETURN NULL;
    END IF;
    IF pg_typeof(OLD.zoid) <> 'bigint'::regtype OR pg_typeof(OLD.tid) <> 'bigint'::regtype THEN
        RAISE EXCEPTION 'object_state does not have the columns of RelStorage' USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- Restored from a dump without relpack's tables: the site goes on.
    IF to_regclass('relpack.storage') IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO relpack.write_event (kind, zoid, tid)
    VALUES ('deleted', OLD.zoid, OLD.tid);
    -- See relpack.trigger_delete().
    UPDATE relpack.blob_removal
    SET since = NULL, missed = NULL
    WHERE blob_removal.zoid = OLD.zoid AND blob_removal.tid = OLD.tid AND blob_removal.since IS NOT NULL;
    RETURN NULL;
END;
$$;

COMMENT ON FUNCTION relpack.trigger_move() IS
    'Trigger function: reports the old zoid of rows that got another.';
