CREATE OR REPLACE FUNCTION relpack.report_truncate()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, relpack, pg_temp
AS $$
BEGIN
    INSERT INTO relpack.write_event (kind) VALUES ('truncated');
    -- What is loaded next may use the same oids and tids.
    DELETE FROM relpack.blob_removal;
    RETURN NULL;
END;
$$;

COMMENT ON FUNCTION relpack.report_truncate() IS
    'Trigger function: reports a TRUNCATE of object_state and empties relpack.blob_removal.';
