-- Of a session-level lock without a transaction the last part of virtualtransaction
-- is 0: that is no client's between its vote and its finish. An undo writes to
-- object_state, and has no object's lock; a vote locks objects, by their zoid (3.5 and
-- later) or in current_object.
CREATE OR REPLACE FUNCTION relpack.trim_writers(voted boolean)
RETURNS text[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ARRAY(
        SELECT DISTINCT virtualtransaction
        FROM pg_locks
        WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND granted
          AND pid IS DISTINCT FROM pg_backend_pid()
          AND virtualtransaction NOT LIKE '%/0'
          AND CASE
              WHEN NOT voted THEN
                  locktype = 'relation'
                  AND relation IN ('public.object_state'::regclass, 'public.transaction'::regclass)
                  AND mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
              WHEN locktype = 'advisory' THEN
                  objsubid = 1 AND classid::bigint < 2147483648 AND mode = 'ExclusiveLock'
              ELSE
                  locktype = 'relation' AND relation = 'public.current_object'::regclass
                  AND mode IN ('RowShareLock', 'RowExclusiveLock')
              END);
END;
$$;

COMMENT ON FUNCTION relpack.trim_writers(boolean) IS
    'The other transactions, by virtualtransaction, that write to the storage, among them undos; voted: that have voted, '
    'so that they have locked objects.';
