-- AFTER row trigger of object_state, ENABLE REPLICA: logical replication (and
-- pglogical) applies rows without firing triggers of a statement. Elsewhere it
-- never fires, so that commits don't pay for it. The lock comes first, in a
-- statement of its own, for the reason that relpack.trigger_write has.
CREATE OR REPLACE FUNCTION relpack.trigger_applied()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, relpack, pg_temp
AS $$
BEGIN
    IF (tg_table_schema, tg_table_name) <> ('public', 'object_state') THEN
        -- Renamed, or moved away, it goes on as if relpack were not there; nobody
        -- gets anything from a trigger on a table of his own.
        RETURN NULL;
    END IF;
    -- Restored from a dump without relpack's tables: the site goes on.
    IF to_regclass('relpack.storage') IS NULL THEN
        RETURN NULL;
    END IF;
    IF (tg_op = 'DELETE' AND (pg_typeof(OLD.zoid), pg_typeof(OLD.tid)) <> ('bigint'::regtype, 'bigint'::regtype))
       OR (tg_op <> 'DELETE' AND (pg_typeof(NEW.zoid), pg_typeof(NEW.tid)) <> ('bigint'::regtype, 'bigint'::regtype)) THEN
        RAISE EXCEPTION 'object_state does not have the columns of RelStorage' USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM pg_advisory_xact_lock_shared(1919249520, 1);
    IF tg_op = 'DELETE' THEN
        -- See relpack.trigger_delete().
        UPDATE relpack.blob_removal
        SET since = NULL, missed = NULL
        WHERE blob_removal.zoid = OLD.zoid AND blob_removal.tid = OLD.tid AND blob_removal.since IS NOT NULL;
    END IF;
    INSERT INTO relpack.write_event (kind, zoid, tid)
    SELECT CASE tg_op WHEN 'DELETE' THEN 'deleted' ELSE 'written' END, applied.zoid, applied.tid
    FROM relpack.storage
    CROSS JOIN LATERAL (
        SELECT OLD.zoid, OLD.tid WHERE tg_op = 'DELETE'
        UNION ALL
        SELECT NEW.zoid, NEW.tid WHERE tg_op <> 'DELETE'
    ) AS applied
    WHERE storage.graph <> 'none'
      AND (tg_op = 'DELETE'
           OR applied.tid <= storage.watermark
           OR current_setting('transaction_isolation') <> 'read committed');
    RETURN NULL;
END;
$$;

COMMENT ON FUNCTION relpack.trigger_applied() IS
    'Trigger function: reports rows that logical replication applies, one by one, as relpack.trigger_write() and '
    'relpack.trigger_delete() report those of a statement.';
