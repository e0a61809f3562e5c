-- The stages in the order in which they may run. An object is "attached" when
-- it has a parent, "detached" when it has none; only once no suspect is in
-- stage climb or cut does attached mean live.
--
-- The settings hold for all that is called from here. Walks look objects and
-- references up one by one, by index, and no statistics may talk a planner out of
-- that: they know nothing of tables that were filled a moment ago, and remember
-- those that were large once. OFFSET 0 keeps each lookup a lookup, in the order
-- written: what is detached may be called one row, and a reference one of
-- thousands, so that a join would be planned from its wrong end. Plans are kept
-- with their function: call no step but this.
CREATE OR REPLACE FUNCTION relpack.reach_step()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_material = off
SET max_parallel_workers_per_gather = 0
AS $$
DECLARE
    v_graph text;
    v_now bigint;
BEGIN
    PERFORM relpack.require_pack_lock();
    SELECT graph INTO v_graph FROM relpack.storage;
    IF v_graph = 'reshaping' THEN
        PERFORM relpack.reshape();
        RETURN true;
    ELSIF v_graph NOT IN ('current', 'doubtful') THEN
        RAISE EXCEPTION 'the graph is not built yet'
            USING ERRCODE = 'RP002', HINT = 'Run "relpack pack --dry-run": it builds the graph and deletes nothing.';
    END IF;
    IF EXISTS (SELECT FROM relpack.suspect WHERE stage = 'flow') THEN
        PERFORM relpack.reach_flow();
    ELSIF EXISTS (SELECT FROM relpack.suspect WHERE stage = 'climb') THEN
        PERFORM relpack.reach_climb();
    ELSIF EXISTS (SELECT FROM relpack.suspect WHERE stage = 'cut') THEN
        PERFORM relpack.reach_cut();
    ELSIF EXISTS (SELECT FROM relpack.suspect WHERE stage = 'attach') THEN
        PERFORM relpack.reach_attach(ARRAY(
            SELECT zoid FROM relpack.suspect WHERE stage = 'attach' LIMIT (relpack.walk_limits()).together));
    ELSIF (SELECT resettle FROM relpack.storage) THEN
        -- What was suspected may be lost: nothing but the references is trusted.
        -- Nobody knows what was alive between a dump and now: what was garbage then
        -- has its grace again, and no deletion had begun.
        UPDATE relpack.storage
        SET resettle = false,
            begun_until = 0,
            noticed_tid = greatest(noticed_tid, relpack.time_to_tid(clock_timestamp()))
        RETURNING detach_tid INTO STRICT v_now;
        UPDATE relpack.object
        SET detached_tid = v_now
        WHERE parent IS NULL;
        PERFORM relpack.begin_reshape('object_state or relpack''s own tables are others than before');
    ELSE
        -- What is still detached is unreachable, in a graph that is trusted. In a
        -- restored one what vanished since is held until that is known.
        IF EXISTS (SELECT FROM relpack.missing) AND relpack.doubt() IS NULL AND relpack.forget_missing() > 0 THEN
            RETURN true;
        END IF;
        UPDATE relpack.storage SET walked_objects = 0 WHERE walked_objects <> 0;
        -- Cut off again later, it is to have its grace again. Nothing was
        -- attached where nothing was applied since the choice.
        IF (SELECT doomed_tid = 0 FROM relpack.storage) THEN
            DELETE FROM relpack.doomed
            WHERE EXISTS (SELECT FROM relpack.object WHERE object.zoid = doomed.zoid AND object.parent IS NOT NULL OFFSET 0);
        END IF;
        RETURN false;
    END IF;
    RETURN true;
END;
$$;

COMMENT ON FUNCTION relpack.reach_step() IS
    'One bounded step of relpack.reach(). True while there is more to do.';
