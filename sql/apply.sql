-- Takes over what one chunk read and decoded: edges, nodes and suspects in one
-- transaction. An object that was written after the watermark is left to the
-- next capture: until then it keeps the references that are recorded and gets
-- those that it has now. With the old ones alone, what it came to refer to
-- between the last capture and this one would count as cut off. An event asks
-- to read it again, as its tid may come to be the recorded one again (an older
-- load). A chunk is small beside the graph: everything goes by index, in the
-- functions that are called from here too.
CREATE OR REPLACE FUNCTION relpack.apply()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
AS $$
DECLARE
    v_watermark bigint;
    v_detached bigint;
    v_clock bigint;
    v_edges record;
    v_nodes record;
BEGIN
    PERFORM relpack.require_pack_lock();
    PERFORM relpack.lock_storage();
    IF EXISTS (SELECT FROM relpack.suspect WHERE stage <> 'climb')
       OR (SELECT graph FROM relpack.storage) NOT IN ('current', 'doubtful') THEN
        RAISE EXCEPTION 'changes can only be applied to a settled graph' USING ERRCODE = 'RP002',
            HINT = 'Call relpack.reach() first.';
    END IF;
    -- What was cut off since the capture, but by a commit, has its grace: no later capture
    -- can tell that it was.
    IF relpack.keeps_history() THEN
        PERFORM relpack.capture_set_back((SELECT listed_tid FROM relpack.storage));
    END IF;
    UPDATE relpack.storage
    SET noticed_tid = greatest(noticed_tid, relpack.time_to_tid(clock_timestamp()))
    WHERE EXISTS (SELECT FROM relpack.write_event WHERE (write_event.tid > storage.watermark) IS NOT TRUE);
    SELECT watermark, detach_tid, greatest(clock_tid, relpack.time_to_tid(clock_timestamp()))
    INTO STRICT v_watermark, v_detached, v_clock
    FROM relpack.storage;
    INSERT INTO relpack.capture (watermark, read_until)
    SELECT v_detached, relpack.capture_read_until()
    WHERE v_detached IS NOT NULL
    ON CONFLICT (watermark) DO UPDATE SET read_until = excluded.read_until;
    -- Not stored is what is not stored now either: the others stay pending.
    DELETE FROM relpack.examined_object AS examined
    WHERE examined.tid IS NULL
      AND EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = examined.zoid);
    DELETE FROM relpack.pending USING relpack.examined_object AS examined WHERE pending.zoid = examined.zoid;
    IF EXISTS (SELECT FROM relpack.examined_object WHERE zoid = 0 AND tid IS NULL) THEN
        RAISE EXCEPTION 'the storage has no root object (zoid 0)'
            USING ERRCODE = 'RP002', HINT = 'Restore object 0 from a backup.';
    END IF;
    PERFORM relpack.hold_missing();
    DELETE FROM relpack.examined_inref
    WHERE guessed
      AND NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = examined_inref.zoid)
      -- The row of a node may be missing; if it was given up, the node goes with
      -- this chunk or with a later one.
      AND (NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = examined_inref.zoid)
           OR EXISTS (SELECT FROM relpack.examined_object AS gone
                      WHERE gone.zoid = examined_inref.zoid AND gone.tid IS NULL)
           OR EXISTS (SELECT FROM relpack.missing
                      WHERE missing.zoid = examined_inref.zoid AND missing.accepted));

    -- Read ahead of the capture: a state rewritten under this very tid before
    -- the next makes no event of its own. In a history it takes no other with it.
    INSERT INTO relpack.write_event (kind, zoid, tid)
    SELECT CASE WHEN (SELECT keeps_history FROM relpack.storage) THEN 'ahead' ELSE 'written' END, zoid, tid
    FROM relpack.examined_object
    WHERE tid > v_watermark;

    v_edges := relpack.apply_edges(v_watermark, v_detached);
    v_nodes := relpack.apply_nodes(v_watermark, v_detached, v_clock);
    PERFORM relpack.note_dangling(v_edges.named, v_edges.unnamed, v_nodes.entered);
    PERFORM relpack.apply_problems();
    PERFORM relpack.apply_foreign(v_watermark);
    PERFORM relpack.apply_set_back();

    -- Events change the graph without a higher applied_tid: what was chosen
    -- for deletion is chosen again in any case.
    UPDATE relpack.storage
    SET objects = objects + v_nodes.added - v_nodes.removed,
        inrefs = inrefs + v_edges.added - v_edges.removed,
        doomed_tid = 0;
    PERFORM relpack.apply_discard();
    RETURN relpack.apply_finish();
END;
$$;

COMMENT ON FUNCTION relpack.apply() IS
    'Brings the graph up to what was examined (relpack.examined_object and its companions, filled by "relpack pack"); '
    'returns how many objects are still pending.';
