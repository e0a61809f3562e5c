-- Whose transactions hold no object of the application. A name is not enough:
-- anybody may call his session as he likes. relpack's own take this lock when
-- they begin, and those of a pack are of one role.
CREATE OR REPLACE FUNCTION relpack.own_session()
RETURNS SETOF integer
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT DISTINCT locks.pid
    FROM pg_locks AS locks
    JOIN pg_stat_activity AS activity ON activity.pid = locks.pid
    WHERE locks.locktype = 'advisory'
      AND locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND locks.classid = 1919249520
      AND locks.objid = 3
      AND locks.objsubid = 2
      AND locks.granted
      AND activity.usename = session_user;
END;
$$;

COMMENT ON FUNCTION relpack.own_session() IS
    'Process ids of the sessions of relpack that the role of this one has opened: they share advisory lock (1919249520, 3).';
