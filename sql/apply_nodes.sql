-- After the edges. A new node is detached until a climb has found it alive.
CREATE OR REPLACE FUNCTION relpack.apply_nodes(
    watermark bigint, since bigint, clock bigint, OUT removed bigint, OUT added bigint, OUT entered bigint[])
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
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
    SELECT count(*) INTO removed FROM gone;

    -- Garbage that somebody wrote again is in use somewhere: a deletion that has
    -- begun does not include it any more.
    IF EXISTS (SELECT FROM relpack.doomed) THEN
        DELETE FROM relpack.doomed
        USING relpack.examined_object AS examined, relpack.object
        WHERE doomed.zoid = examined.zoid AND object.zoid = examined.zoid AND object.tid <> examined.tid;
    END IF;

    -- Garbage that is written again is as young as that, by the clock if the tid
    -- is ahead of it.
    WITH known AS (
        UPDATE relpack.object
        SET tid = examined.tid, class = examined.class, size = examined.size,
            detached_tid = CASE
                WHEN object.parent IS NOT NULL OR object.tid = examined.tid THEN object.detached_tid
                ELSE greatest(object.detached_tid, least(examined.tid, apply_nodes.clock))
            END
        FROM relpack.examined_object AS examined
        WHERE object.zoid = examined.zoid AND examined.tid <= apply_nodes.watermark
        RETURNING object.zoid
    ), born AS (
        INSERT INTO relpack.object (zoid, tid, parent, detached_tid, class, size)
        SELECT zoid, tid,
               CASE zoid WHEN 0 THEN 0 END,
               CASE WHEN zoid <> 0 THEN greatest(
                   apply_nodes.since, CASE WHEN tid > apply_nodes.watermark THEN least(tid, apply_nodes.clock) END) END,
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
    SELECT count(*), coalesce(array_agg(zoid), '{}') INTO added, entered FROM born;
END;
$$;

COMMENT ON FUNCTION relpack.apply_nodes(bigint, bigint, bigint) IS
    'Step of relpack.apply(): nodes of what is not stored leave the graph, those of what was written follow, and those of '
    'what is new enter it, detached as of since. clock is a tid that no age is above. Returns how many, and which entered.';
