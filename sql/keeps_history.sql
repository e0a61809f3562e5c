-- A history-preserving storage has a row of object_state for each revision. Told by
-- the catalogs alone, which everybody may read.
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
        JOIN pg_attribute ON attrelid = pg_class.oid
        WHERE relnamespace = 'public'::regnamespace
          AND ((relname = 'object_state' AND attname = 'prev_tid' AND NOT attisdropped)
               OR (relname IN ('current_object', 'transaction') AND relkind = 'r')));
END;
$$;

COMMENT ON FUNCTION relpack.keeps_history() IS
    'Whether the storage in this database is a history-preserving one: object_state has a column prev_tid, or there is '
    'a table current_object or transaction beside it.';
