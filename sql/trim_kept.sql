-- The rule of what a pack of a history-preserving storage keeps, one object at a time:
-- trims take the others (relpack.trim_find()), the graph has the references of these.
-- An object that was set back (relpack.trim_leaves()) keeps all. Tids, not rows: who
-- reads states reads one after the other. Each lookup goes by the primary key, whatever
-- the planner expects of those on tid and prev_tid, and a long history is read once.
CREATE OR REPLACE FUNCTION relpack.trim_kept(object_zoid bigint, until_tid bigint)
RETURNS SETOF bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
DECLARE
    v_newest bigint;
    v_current boolean;
    v_first bigint;
BEGIN
    -- For most objects that is all.
    SELECT newest.tid, EXISTS (
        SELECT FROM public.current_object WHERE current_object.zoid = object_zoid AND (current_object.tid = newest.tid) IS TRUE)
    INTO v_newest, v_current
    FROM (SELECT max(stored.tid) AS tid FROM public.object_state AS stored WHERE stored.zoid = object_zoid) AS newest;
    IF v_current AND v_newest <= until_tid THEN
        RETURN NEXT v_newest;
        RETURN;
    END IF;
    IF v_current THEN
        v_first := (SELECT max(stored.tid) FROM public.object_state AS stored WHERE stored.zoid = object_zoid AND stored.tid <= until_tid);
    END IF;
    -- An undo of a later one looks for what that names.
    RETURN QUERY
    SELECT old.tid
    FROM (
        SELECT DISTINCT later.prev_tid
        FROM public.object_state AS later
        WHERE later.zoid = object_zoid AND (later.zoid, later.tid) > (object_zoid, until_tid) AND later.prev_tid + 0 < v_first
    ) AS named
    CROSS JOIN LATERAL (
        SELECT object_state.tid
        FROM public.object_state
        WHERE object_state.zoid = object_zoid AND object_state.tid BETWEEN named.prev_tid AND named.prev_tid
        OFFSET 0
    ) AS old
    ORDER BY old.tid;
    RETURN QUERY
    SELECT stored.tid
    FROM public.object_state AS stored
    WHERE stored.zoid = object_zoid AND (v_first IS NULL OR stored.tid >= v_first)
    ORDER BY stored.tid;
END;
$$;

COMMENT ON FUNCTION relpack.trim_kept(bigint, bigint) IS
    'The revisions of an object that a pack of a history-preserving storage up to until_tid keeps if it keeps the object, '
    'the oldest first: all later ones, the newest up to until_tid, and older ones that a later one names as its '
    'predecessor; all where current_object does not name the newest.';
