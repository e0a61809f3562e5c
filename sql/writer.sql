-- Sessions with a write to object_state in flight.
CREATE OR REPLACE VIEW relpack.writer AS
SELECT locks.pid,
       activity.application_name AS application,
       activity.usename AS username,
       activity.xact_start,
       activity.state,
       activity.query
FROM pg_catalog.pg_locks AS locks
LEFT JOIN pg_catalog.pg_stat_activity AS activity ON activity.pid = locks.pid
WHERE locks.locktype = 'advisory'
  AND locks.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
  AND locks.classid = 1919249520
  AND locks.objid = 1
  AND locks.objsubid = 2
  AND locks.granted;

COMMENT ON VIEW relpack.writer IS
    'Sessions whose transaction has written to object_state and has not ended. One that stays here for long keeps relpack from deleting.';
COMMENT ON COLUMN relpack.writer.pid IS 'Process id: pg_cancel_backend(pid) cancels its statement.';
COMMENT ON COLUMN relpack.writer.application IS 'Its application_name.';
COMMENT ON COLUMN relpack.writer.username IS 'Its role.';
COMMENT ON COLUMN relpack.writer.xact_start IS 'Start of its transaction.';
COMMENT ON COLUMN relpack.writer.state IS 'active, idle in transaction, ...';
COMMENT ON COLUMN relpack.writer.query IS 'Its last statement.';
