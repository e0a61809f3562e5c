-- Asked after every piece of work with rows locked. pg_blocking_pids() holds up
-- the lock manager: it is asked only of who waits for something that we have.
CREATE OR REPLACE FUNCTION relpack.anyone_waits()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = on
SET enable_nestloop = on
AS $$
BEGIN
    RETURN EXISTS (
        WITH locks AS MATERIALIZED (
            SELECT locktype, database, relation, page, tuple, virtualxid, transactionid, classid, objid, objsubid,
                   granted, pid
            FROM pg_locks
        )
        SELECT
        FROM locks AS waiting
        WHERE NOT waiting.granted
          AND EXISTS (
              SELECT
              FROM locks AS held
              WHERE held.granted
                AND held.pid = pg_backend_pid()
                AND held.locktype = waiting.locktype
                AND (held.database, held.relation, held.page, held.tuple, held.virtualxid, held.transactionid,
                     held.classid, held.objid, held.objsubid)
                    IS NOT DISTINCT FROM
                    (waiting.database, waiting.relation, waiting.page, waiting.tuple, waiting.virtualxid,
                     waiting.transactionid, waiting.classid, waiting.objid, waiting.objsubid))
          AND pg_backend_pid() = ANY (pg_blocking_pids(waiting.pid)));
END;
$$;

COMMENT ON FUNCTION relpack.anyone_waits() IS
    'Whether another session waits for a lock that this one holds.';
