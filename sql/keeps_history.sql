-- A history-preserving storage has a row of object_state for each revision. Told by
-- the catalogs alone, which everybody may read. Nearly every function asks, many a
-- time in a pack: each name goes by an index, where a join would read all of pg_class.
CREATE OR REPLACE FUNCTION relpack.keeps_history()
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (
            SELECT
            FROM pg_class
            WHERE relname IN ('current_object', 'transaction') AND relnamespace = 'public'::regnamespace AND relkind = 'r')
        OR EXISTS (
            SELECT
            FROM pg_attribute
            WHERE attrelid = (SELECT oid FROM pg_class WHERE relname = 'object_state' AND relnamespace = 'public'::regnamespace)
              AND attname = 'prev_tid' AND NOT attisdropped);
END;
$$;

COMMENT ON FUNCTION relpack.keeps_history() IS
    'Whether the storage in this database is a history-preserving one: object_state has a column prev_tid, or there is '
    'a table current_object or transaction beside it.';
