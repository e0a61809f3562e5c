CREATE OR REPLACE FUNCTION relpack.trim_awaited()
RETURNS text
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT CASE
               WHEN waits.pid IS NULL THEN 'a prepared transaction, see pg_prepared_xacts'
               ELSE format('pid %s, application "%s", since %s', waits.pid, activity.application_name, activity.xact_start::timestamptz(0))
               END
        FROM pg_locks AS waits
        LEFT JOIN pg_stat_activity AS activity ON activity.pid = waits.pid
        WHERE waits.virtualtransaction = ANY (nullif(current_setting('relpack.awaited', true), '')::text[])
        ORDER BY activity.xact_start
        LIMIT 1);
END;
$$;

COMMENT ON FUNCTION relpack.trim_awaited() IS
    'Names the oldest transaction for which relpack.trim_settle() still waits; NULL: none.';
