-- Asked by every step of a trim that others rely on: between two steps no undo may begin.
CREATE OR REPLACE FUNCTION relpack.trim_held()
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
END;
$$;

COMMENT ON FUNCTION relpack.trim_held() IS
    'Raises RP002 unless the storage is a history-preserving one and this session holds the pack lock '
    '(relpack.try_pack_lock()), and what relpack.require_pack_lock() raises.';
