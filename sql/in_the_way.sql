-- A write to object_state in flight, of a session or a prepared transaction; a
-- commit of RelStorage before 3.0, which locks the table, or where history is kept two
-- others; or a lock on one of relpack's tables (pg_dump has one on each).
CREATE OR REPLACE FUNCTION relpack.in_the_way()
RETURNS text
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT format('%s%s) has kept its transaction open for %s s (%s)',
                      'pid ' || pid || ' (',
                      coalesce(nullif(application, ''), username, '?') || CASE WHEN pid IS NULL THEN ' (of ' || username ELSE '' END,
                      coalesce(round(extract(epoch FROM clock_timestamp() - xact_start))::text, '?'),
                      left(coalesce(query, ''), 100))
        FROM (
            SELECT pid, application, username, xact_start, query
            FROM relpack.writer
            UNION ALL
            SELECT locks.pid, coalesce(activity.application_name, 'prepared transaction ' || prepared.gid),
                   coalesce(activity.usename, prepared.owner), coalesce(activity.xact_start, prepared.prepared),
                   coalesce(activity.query, format('ROLLBACK PREPARED %L', prepared.gid))
            FROM pg_locks AS locks
            JOIN pg_class AS class ON class.oid = locks.relation
            LEFT JOIN pg_stat_activity AS activity ON activity.pid = locks.pid
            LEFT JOIN LATERAL (
                SELECT xact.gid, xact.owner, xact.prepared
                FROM pg_locks AS own
                JOIN pg_prepared_xacts AS xact ON xact.transaction = own.transactionid
                WHERE locks.pid IS NULL AND own.pid IS NULL AND own.virtualtransaction = locks.virtualtransaction
                LIMIT 1
            ) AS prepared ON true
            WHERE (class.relnamespace = 'relpack'::regnamespace
                   OR (class.oid IN ('public.object_state'::regclass, to_regclass('public.current_object'),
                                     to_regclass('public.transaction'))
                       AND locks.mode IN ('ShareLock', 'AccessExclusiveLock')))
              AND locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
              AND locks.granted
        ) AS holder
        WHERE pid IS DISTINCT FROM pg_backend_pid()
        ORDER BY xact_start
        LIMIT 1);
END;
$$;

COMMENT ON FUNCTION relpack.in_the_way() IS
    'Names who has held for longest what relpack waits for; NULL: nobody does at this moment.';
