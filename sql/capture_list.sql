-- Second half of a capture: what must be looked at again goes to pending, in
-- one transaction with the events that asked for it. Events of transactions
-- that are not visible yet stay for the next capture. What was committed after
-- the watermark, a moment ago, is taken along: it may have replaced a revision
-- that this capture would have read (see relpack.apply).
CREATE OR REPLACE FUNCTION relpack.capture_list()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_storage relpack.storage;
    v_abandoned boolean;
    v_reported boolean;
    v_truncated boolean;
    v_ahead boolean;
BEGIN
    PERFORM relpack.require_pack_lock();
    PERFORM relpack.lock_storage();
    v_storage := relpack.known_storage();
    IF v_storage.graph NOT IN ('current', 'doubtful') THEN
        RAISE EXCEPTION 'the graph is not built yet'
            USING ERRCODE = 'RP002', HINT = 'Run "relpack pack --dry-run": it builds the graph and deletes nothing.';
    END IF;
    IF v_storage.reread THEN
        RAISE EXCEPTION 'columns of object_state, or relpack''s own tables, were altered: every state must be read again first'
            USING ERRCODE = 'RP002', HINT = 'Run "relpack pack".';
    END IF;

    v_abandoned := EXISTS (SELECT FROM relpack.pending);
    IF v_storage.keeps_history AND NOT v_abandoned THEN
        -- Nothing is cut off by commits but what old revisions refer to as before. What an event
        -- told of may take effect later: up to the horizon old revisions refer to it still.
        UPDATE relpack.storage SET noticed_tid = 0 WHERE noticed_tid <> 0 AND noticed_tid <= horizon_tid;
    END IF;
    IF v_storage.keeps_history THEN
        PERFORM relpack.capture_set_back(v_storage.applied_tid);
    END IF;
    SELECT events.reported, events.truncated, events.ahead
    INTO v_reported, v_truncated, v_ahead
    FROM relpack.capture_events() AS events;
    IF v_storage.graph = 'doubtful' THEN -- as capture_events() does for what was reported
        UPDATE relpack.storage
        SET noticed_tid = greatest(noticed_tid, relpack.time_to_tid(clock_timestamp()));
    END IF;
    SELECT storage.detach_tid INTO STRICT v_storage.detach_tid FROM relpack.storage;
    IF v_abandoned AND NOT v_storage.keeps_history THEN
        -- A run was abandoned when it had applied a part of its changes. What it
        -- found cut off may have hung on what it did not come to, and may have
        -- been cut only now: its grace begins with this run.
        UPDATE relpack.object
        SET detached_tid = v_storage.detach_tid
        WHERE object.parent IS NULL
          AND object.detached_tid >= least(v_storage.settled_tid, v_storage.applied_tid);
    END IF;

    IF v_reported OR v_storage.graph = 'doubtful' THEN
        -- What was restored may be superseded already.
        UPDATE relpack.storage SET cleared_tid = 0, oldest_tid = 0 WHERE cleared_tid <> 0 OR oldest_tid <> 0;
    END IF;
    PERFORM relpack.capture_changes(v_storage.applied_tid, v_storage.graph = 'doubtful' OR v_truncated);
    PERFORM relpack.capture_salvaged(v_reported OR v_ahead OR v_storage.graph = 'doubtful');
    UPDATE relpack.storage
    SET listed_tid = watermark,
        graph = 'current';
    RETURN relpack.apply_finish();
END;
$$;

COMMENT ON FUNCTION relpack.capture_list() IS
    'Second half of a capture: fills relpack.pending with the objects to read and decode; returns how many there are.';
