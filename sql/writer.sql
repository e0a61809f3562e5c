-- Transactions with a write to object_state in flight. One that was prepared
-- for a two-phase commit has no session any more: it is known by the lock on its
-- own number.
CREATE OR REPLACE VIEW relpack.writer AS
SELECT locks.pid,
       coalesce(activity.application_name, 'prepared transaction ' || prepared.gid) AS application,
       coalesce(activity.usename, prepared.owner) AS username,
       coalesce(activity.xact_start, prepared.prepared) AS xact_start,
       CASE WHEN prepared.gid IS NULL THEN activity.state ELSE 'prepared' END AS state,
       coalesce(activity.query, format('ROLLBACK PREPARED %L', prepared.gid)) AS query,
       locks.mode = 'ExclusiveLock' AS exclusive
FROM pg_catalog.pg_locks AS locks
LEFT JOIN pg_catalog.pg_stat_activity AS activity ON activity.pid = locks.pid
LEFT JOIN LATERAL (
    SELECT xact.gid, xact.owner, xact.prepared
    FROM pg_catalog.pg_locks AS own
    JOIN pg_catalog.pg_prepared_xacts AS xact ON xact.transaction = own.transactionid
    WHERE locks.pid IS NULL AND own.pid IS NULL AND own.virtualtransaction = locks.virtualtransaction
    LIMIT 1
) AS prepared ON true
WHERE locks.locktype = 'advisory'
  AND locks.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
  AND locks.classid = 1919249520
  AND locks.objid = 1
  AND locks.objsubid = 2
  AND locks.granted;

COMMENT ON VIEW relpack.writer IS
    'Transactions that have written to object_state and have not ended. One that stays here for long keeps relpack from deleting.';
COMMENT ON COLUMN relpack.writer.pid IS 'Process id: pg_cancel_backend(pid) cancels its statement. NULL: a prepared transaction.';
COMMENT ON COLUMN relpack.writer.application IS 'Its application_name; the name of a prepared transaction.';
COMMENT ON COLUMN relpack.writer.username IS 'Its role.';
COMMENT ON COLUMN relpack.writer.xact_start IS 'Start of its transaction, or when it was prepared.';
COMMENT ON COLUMN relpack.writer.state IS 'active, idle in transaction, prepared, ...';
COMMENT ON COLUMN relpack.writer.query IS 'Its last statement; what ends a prepared transaction, if COMMIT PREPARED does not.';
COMMENT ON COLUMN relpack.writer.exclusive IS
    'Whether it keeps all others from writing: relpack does for a moment, and any role may that takes advisory lock '
    '(1919249520, 1) by hand.';
