-- Which locks the RelStorage that made this storage takes: objects have advisory
-- locks of their own from 3.5 on, row locks in 3.0 to 3.4 (both by a stored
-- procedure), none before, when there was a table to lock instead. What is none
-- of these is unknown, and nobody guesses: the locks of packers of one version are
-- objects' locks in another. Where both procedures are left, the newer is used.
CREATE OR REPLACE FUNCTION relpack.lock_protocol()
RETURNS text
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT CASE
            WHEN bool_or(prosrc LIKE '%pg\_advisory\_xact\_lock%') THEN 'advisory'
            WHEN bool_and(prosrc ~* 'for\s+(update|share)') THEN 'row'
            WHEN count(*) = 0 AND to_regclass('public.commit_lock') IS NOT NULL
                 AND to_regclass('public.commit_row_lock') IS NULL THEN 'table'
            ELSE 'unknown'
            END
        FROM pg_proc
        WHERE proname = 'lock_objects_and_detect_conflicts'
          AND pronamespace = 'public'::regnamespace);
END;
$$;

COMMENT ON FUNCTION relpack.lock_protocol() IS
    'How RelStorage locks in this database: advisory (3.5 and later), row (3.0 to 3.4), table (before), or unknown: '
    'then nothing is packed.';
