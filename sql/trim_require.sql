-- Before any row of the storage changes in a trim, or counts as cleared, this is asked,
-- and before a sweep of a history (relpack.require_cleared()). Steps that only look, or
-- find nothing to do, don't ask. The pack lock is to be held by the session: between two
-- steps no undo may begin.
CREATE OR REPLACE FUNCTION relpack.trim_require()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_held boolean;
BEGIN
    -- Asked first: what comes next takes the lock for this transaction.
    v_held := coalesce(current_setting('relpack.lock_protocol', true), '') <> '' AND EXISTS (
        SELECT
        FROM pg_locks
        WHERE locktype = 'advisory'
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND pid = pg_backend_pid() AND granted
          AND classid = 4294967295 AND objid = 4294967294 AND objsubid = 1 AND mode = 'ExclusiveLock');
    PERFORM relpack.require_pack_lock(history => true);
    IF NOT v_held THEN
        RAISE EXCEPTION 'this session does not hold the pack lock: an undo may begin between two steps'
            USING ERRCODE = 'RP002', HINT = 'Call relpack.try_pack_lock() first.';
    END IF;
    PERFORM relpack.require_history();
END;
$$;

COMMENT ON FUNCTION relpack.trim_require() IS
    'Raises RP002 unless the storage is a history-preserving one that relpack can trim, all of it is seen, its keys '
    'hold (relpack.require_history()), and this session holds the pack lock (relpack.try_pack_lock()).';
