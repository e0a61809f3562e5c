-- relpack's triggers are silent where there is no relpack.storage: a dump may have been
-- restored without relpack's tables, and the site goes on. But where the table, or the whole
-- schema, only has another name for a while, what is written now has to be looked for then,
-- and who sees which revision of a blob is not known. The trigger finds the schema by its
-- function, which the catalog has by number, and calls this there.
CREATE OR REPLACE FUNCTION relpack.note_blind(schema name)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regclass(format('%I.write_event', schema)) IS NULL OR to_regclass(format('%I.blob_removal', schema)) IS NULL THEN
        RETURN;
    END IF;
    EXECUTE format(
        'INSERT INTO %1$I.write_event (kind) SELECT ''truncated'' '
        'WHERE NOT EXISTS (SELECT FROM %1$I.write_event WHERE kind = ''truncated'')',
        schema);
    EXECUTE format('UPDATE %I.blob_removal SET since = NULL, missed = NULL WHERE since IS NOT NULL', schema);
END;
$$;

COMMENT ON FUNCTION relpack.note_blind(name) IS
    'Step of relpack''s triggers on object_state: reports, as a TRUNCATE is reported, that something was written while '
    'relpack.storage had another name. schema: where relpack''s functions are.';
