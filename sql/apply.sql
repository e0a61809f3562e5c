-- Takes over what one chunk read and decoded: edges, nodes and suspects in one
-- transaction. An object that was written after the watermark is left to the
-- next capture: until then it keeps the references that are recorded and gets
-- those that it has now. With the old ones alone, what it came to refer to
-- between the last capture and this one would count as cut off. An event asks
-- to read it again, as its tid may come to be the recorded one again (an older
-- load). A chunk is small beside the graph: everything goes by index.
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
    v_edges_gone bigint;
    v_edges_new bigint;
    v_nodes_gone bigint;
    v_nodes_new bigint;
    v_born bigint[];
    v_named bigint[];
    v_unnamed bigint[];
BEGIN
    PERFORM relpack.require_pack_lock();
    PERFORM relpack.lock_storage();
    IF EXISTS (SELECT FROM relpack.suspect WHERE stage <> 'climb')
       OR (SELECT graph FROM relpack.storage) NOT IN ('current', 'doubtful') THEN
        RAISE EXCEPTION 'changes can only be applied to a settled graph' USING ERRCODE = 'RP002',
            HINT = 'Call relpack.reach() first.';
    END IF;
    SELECT watermark, detach_tid, greatest(clock_tid, relpack.time_to_tid(clock_timestamp()))
    INTO STRICT v_watermark, v_detached, v_clock
    FROM relpack.storage;
    INSERT INTO relpack.capture (watermark, read_until) VALUES (v_detached, relpack.capture_read_until())
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
      -- The row of a node may be missing; if it was given up, the node goes now.
      AND (NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = examined_inref.zoid)
           OR EXISTS (SELECT FROM relpack.examined_object AS gone
                      WHERE gone.zoid = examined_inref.zoid AND gone.tid IS NULL));

    -- Read ahead of the capture: a state rewritten under this very tid before
    -- the next makes no event of its own.
    INSERT INTO relpack.write_event (kind, zoid, tid)
    SELECT 'written', zoid, tid
    FROM relpack.examined_object
    WHERE tid > v_watermark;

    -- Most references of a changed object are what they were: those recorded
    -- (1) and those read (2) are laid side by side once, and only what differs
    -- is looked up. Edges that are gone detach what hung on them. Every detached
    -- target of any new edge is suspected, whoever the edge comes from.
    WITH difference AS MATERIALIZED (
        SELECT edge.zoid, edge.inref, bit_or(edge.side) AS side
        FROM (
            SELECT recorded.zoid, examined.zoid AS inref,
                   CASE WHEN (examined.tid > v_watermark) IS NOT TRUE THEN 1 ELSE 3 END AS side
            FROM relpack.examined_object AS examined
            CROSS JOIN LATERAL (
                SELECT object_inref.zoid
                FROM relpack.object_inref
                WHERE object_inref.inref = examined.zoid
                OFFSET 0
            ) AS recorded
            UNION ALL
            SELECT examined_inref.zoid, examined_inref.inref, 2
            FROM relpack.examined_inref
        ) AS edge
        GROUP BY edge.zoid, edge.inref
        HAVING bit_or(edge.side) <> 3
    ), gone AS (
        DELETE FROM relpack.object_inref
        USING difference
        WHERE object_inref.zoid = difference.zoid AND object_inref.inref = difference.inref AND difference.side = 1
        RETURNING object_inref.zoid, object_inref.inref
    ), detached AS (
        UPDATE relpack.object
        SET parent = NULL, detached_tid = v_detached
        FROM gone
        WHERE object.zoid = gone.zoid AND object.parent = gone.inref AND object.zoid <> 0
        RETURNING object.zoid
    ), born AS (
        INSERT INTO relpack.object_inref (zoid, inref)
        SELECT zoid, inref FROM difference WHERE side = 2 ORDER BY zoid, inref
        RETURNING zoid
    ), suspected AS (
        INSERT INTO relpack.suspect (zoid, stage)
        SELECT zoid, 'climb' FROM detached
        UNION
        SELECT object.zoid, 'climb'
        FROM born
        CROSS JOIN LATERAL (
            SELECT object.zoid
            FROM relpack.object
            WHERE object.zoid = born.zoid AND object.parent IS NULL
            OFFSET 0
        ) AS object
        ON CONFLICT DO NOTHING
    )
    SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM born),
           (SELECT array_agg(DISTINCT zoid) FROM born), (SELECT array_agg(DISTINCT zoid) FROM gone)
    INTO v_edges_gone, v_edges_new, v_named, v_unnamed;

    WITH gone AS (
        DELETE FROM relpack.object
        USING relpack.examined_object AS examined
        WHERE object.zoid = examined.zoid AND examined.tid IS NULL
        RETURNING object.zoid
    ), unsuspected AS (
        DELETE FROM relpack.suspect USING gone WHERE suspect.zoid = gone.zoid
    ), undoomed AS (
        DELETE FROM relpack.doomed USING gone WHERE doomed.zoid = gone.zoid
    )
    SELECT count(*) INTO v_nodes_gone FROM gone;

    -- Garbage that somebody wrote anew is in use somewhere: a deletion that has
    -- begun does not include it any more.
    IF EXISTS (SELECT FROM relpack.doomed) THEN
        DELETE FROM relpack.doomed
        USING relpack.examined_object AS examined, relpack.object
        WHERE doomed.zoid = examined.zoid AND object.zoid = examined.zoid AND object.tid <> examined.tid;
    END IF;

    -- Garbage that is written anew is as young as that, by the clock if the tid
    -- is ahead of it.
    WITH known AS (
        UPDATE relpack.object
        SET tid = examined.tid, class = examined.class, size = examined.size,
            detached_tid = CASE
                WHEN object.parent IS NOT NULL OR object.tid = examined.tid THEN object.detached_tid
                ELSE greatest(object.detached_tid, least(examined.tid, v_clock))
            END
        FROM relpack.examined_object AS examined
        WHERE object.zoid = examined.zoid AND examined.tid <= v_watermark
        RETURNING object.zoid
    ), born AS (
        INSERT INTO relpack.object (zoid, tid, parent, detached_tid, class, size)
        SELECT zoid, tid,
               CASE zoid WHEN 0 THEN 0 END,
               CASE WHEN zoid <> 0 THEN greatest(v_detached, CASE WHEN tid > v_watermark THEN least(tid, v_clock) END) END,
               class, size
        FROM relpack.examined_object
        WHERE tid IS NOT NULL AND zoid NOT IN (SELECT zoid FROM known)
        ORDER BY zoid
        ON CONFLICT DO NOTHING
        RETURNING zoid
    ), suspected AS (
        INSERT INTO relpack.suspect (zoid, stage)
        SELECT zoid, 'climb' FROM born WHERE zoid <> 0
        ON CONFLICT DO NOTHING
    )
    SELECT count(*), coalesce(array_agg(zoid), '{}') INTO v_nodes_new, v_born FROM born;
    PERFORM relpack.note_dangling(v_named, v_unnamed, v_born);

    IF EXISTS (SELECT FROM relpack.problem) THEN
        DELETE FROM relpack.problem
        USING relpack.examined_object AS examined
        WHERE problem.zoid = examined.zoid;
    END IF;
    INSERT INTO relpack.problem (zoid, blocks, kind, detail)
    SELECT zoid, kind = 'opaque', kind, detail FROM relpack.examined_problem;

    PERFORM relpack.apply_foreign(v_watermark);

    -- Events change the graph without a higher applied_tid: what was chosen
    -- for deletion is chosen again in any case.
    UPDATE relpack.storage
    SET objects = objects + v_nodes_new - v_nodes_gone,
        inrefs = inrefs + v_edges_new - v_edges_gone,
        doomed_tid = 0;
    PERFORM relpack.apply_discard();
    RETURN relpack.apply_finish();
END;
$$;

COMMENT ON FUNCTION relpack.apply() IS
    'Brings the graph up to what was examined (relpack.examined_object and its companions, filled by "relpack pack"); '
    'returns how many objects are still pending.';
