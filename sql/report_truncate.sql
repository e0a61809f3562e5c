CREATE OR REPLACE FUNCTION relpack.report_truncate()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, relpack, pg_temp
AS $$
BEGIN
    IF (tg_table_schema, tg_table_name) <> ('public', 'object_state') THEN
        RAISE EXCEPTION 'relpack''s triggers are for public.object_state only' USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- Restored from a dump without relpack's tables: the site goes on.
    IF to_regclass('relpack.storage') IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO relpack.write_event (kind) VALUES ('truncated');
    -- What is loaded next may use the same oids and tids.
    DELETE FROM relpack.blob_removal;
    RETURN NULL;
END;
$$;

COMMENT ON FUNCTION relpack.report_truncate() IS
    'Trigger function: reports a TRUNCATE of object_state and empties relpack.blob_removal.';
