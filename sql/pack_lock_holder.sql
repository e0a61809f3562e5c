-- Whoever holds one of the locks that packers take.
CREATE OR REPLACE FUNCTION relpack.pack_lock_holder(
    OUT pid integer, OUT application text, OUT username text, OUT since timestamptz)
RETURNS SETOF record
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT DISTINCT locks.pid, activity.application_name, activity.usename::text, activity.backend_start
    FROM pg_locks AS locks
    LEFT JOIN pg_stat_activity AS activity ON activity.pid = locks.pid
    WHERE locks.locktype = 'advisory'
      AND locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND locks.objsubid = 1
      AND locks.granted
      AND ((locks.classid = 4294967295 AND locks.objid = 4294967294)
           OR (relpack.lock_protocol() IN ('row', 'table') AND locks.classid = 0 AND locks.objid IN (1, 23)));
END;
$$;

COMMENT ON FUNCTION relpack.pack_lock_holder() IS
    'The sessions that hold the pack lock: relpack, zodbpack or relstorage_packer. '
    'since is when the session began; NULL where your role may not see it.';
