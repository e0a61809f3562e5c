-- What is to be read again is listed in the transaction that moves the horizon: whatever
-- is not in relpack.pending has the references of what is kept up to horizon_tid. Another
-- horizon keeps other revisions only of objects that have one in between, besides
-- others. Up to where the history is trimmed, each horizon keeps all that is left, but for
-- the objects that a trim left alone: to move below that and back, as beside a transaction
-- that is open for long, costs next to nothing. A DELETE was judged by the horizon that it
-- found (relpack.trigger_delete()): by an earlier one what is older may be kept instead. So
-- none may be in flight when the horizon moves back: those that the list has not seen yet
-- have deleted rows of objects that are on it. Nobody waits while the list is made, and
-- it is not made in vain where somebody writes for long.
CREATE OR REPLACE FUNCTION relpack.horizon_set(goal_tid bigint, capped boolean)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_storage relpack.storage;
    v_listed bigint := 0;
    v_back boolean;
    v_free boolean;
BEGIN
    PERFORM relpack.require_pack_lock(history => true);
    PERFORM relpack.lock_storage(history => true);
    v_storage := relpack.known_storage();
    IF v_storage.graph NOT IN ('none', 'current', 'doubtful') THEN
        RAISE EXCEPTION 'the graph is not built yet'
            USING ERRCODE = 'RP002', HINT = 'Run "relpack pack --dry-run": it builds the graph and deletes nothing.';
    END IF;
    v_back := v_storage.graph <> 'none' AND goal_tid < v_storage.horizon_tid;
    IF v_back THEN
        BEGIN
            v_free := relpack.try_writers_lock();
            RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'lets go of the lock';
        EXCEPTION WHEN SQLSTATE 'RP003' THEN
            NULL;
        END;
        IF NOT v_free THEN
            RAISE EXCEPTION 'writers are in the way' USING ERRCODE = 'lock_not_available';
        END IF;
    END IF;
    IF v_storage.graph <> 'none'
       AND (v_storage.horizon_tid <> goal_tid OR v_storage.cleared_tid < goal_tid OR EXISTS (SELECT FROM relpack.to_trim)) THEN
        INSERT INTO relpack.pending (zoid)
        SELECT DISTINCT changed.zoid
        FROM relpack.stored() AS changed
        WHERE changed.tid > greatest(least(v_storage.horizon_tid, goal_tid), v_storage.cleared_tid)
          AND changed.tid <= greatest(v_storage.horizon_tid, goal_tid)
          AND NOT EXISTS (SELECT FROM relpack.pending WHERE pending.zoid = changed.zoid OFFSET 0) -- most are; one by one
          AND EXISTS (SELECT FROM relpack.stored() AS another WHERE another.zoid = changed.zoid AND another.tid <> changed.tid)
        UNION
        SELECT few.zoid FROM relpack.to_trim AS few
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS v_listed = ROW_COUNT;
    END IF;
    IF v_back THEN
        IF NOT relpack.try_writers_lock() THEN
            RAISE EXCEPTION 'writers are in the way' USING ERRCODE = 'lock_not_available';
        END IF;
        -- Who called this in a transaction of his own, and stops there, must not hold the site.
        PERFORM set_config('idle_in_transaction_session_timeout', '2s', true);
    END IF;
    UPDATE relpack.storage
    SET horizon_tid = goal_tid,
        horizon_capped = capped,
        doomed_tid = 0;
    RETURN v_listed;
END;
$$;

COMMENT ON FUNCTION relpack.horizon_set(bigint, boolean) IS
    'Step of relpack.horizon_move() and relpack.horizon_lower(): moves the horizon of the graph to goal_tid. Lists in '
    'relpack.pending the objects of which it keeps other revisions; returns how many. capped: see relpack.storage. '
    'To move it back takes the writers'' lock until the transaction ends, or raises lock_not_available.';
