CREATE OR REPLACE FUNCTION relpack.trigger_truncate()
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
    INSERT INTO relpack.write_event (kind) VALUES ('truncated');
    -- What is loaded next may use the same oids and tids.
    DELETE FROM relpack.blob_removal;
    DELETE FROM relpack.committed;
    UPDATE relpack.storage SET marked_tid = 0 WHERE marked_tid > 0;
    RETURN NULL;
END;
$$;

COMMENT ON FUNCTION relpack.trigger_truncate() IS
    'Trigger function: reports a TRUNCATE of object_state and empties relpack.blob_removal and '
    'relpack.committed: what is loaded next was never trimmed.';
