-- Which locks the RelStorage that made this storage takes (RelStorage's
-- stored procedures tell): objects have advisory locks of their own from 3.5
-- on, row locks in 3.0 to 3.4, none before.
CREATE OR REPLACE FUNCTION relpack.lock_protocol()
RETURNS text
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT coalesce(max(CASE WHEN prosrc LIKE '%pg\_advisory\_xact\_lock%' THEN 'advisory' ELSE 'row' END), 'table')
        FROM pg_proc
        WHERE proname = 'lock_objects_and_detect_conflicts'
          AND pronamespace = 'public'::regnamespace);
END;
$$;

COMMENT ON FUNCTION relpack.lock_protocol() IS
    'How RelStorage locks in this database: advisory (3.5 and later), row (3.0 to 3.4) or table (before).';
