-- Proves, in one snapshot, what relpack has recorded of the storage. Nothing is
-- written, and commits go on: what they changed since the last capture has a
-- higher tid or an event, and is left aside. VOLATILE, and the lock that every
-- SELECT takes first of all: the snapshot of a statement that waited for a
-- TRUNCATE is older than that, and shows the empty table without its event.
CREATE OR REPLACE FUNCTION relpack.verify(
    OUT severity text, OUT finding text, OUT objects bigint, OUT zoids bigint[], OUT remedy text)
RETURNS SETOF record
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
AS $$
DECLARE
    v_storage relpack.storage;
    v_doubt text;
    v_settled boolean;
BEGIN
    LOCK TABLE public.object_state IN ACCESS SHARE MODE;
    v_storage := relpack.known_storage();
    v_doubt := relpack.doubt();
    IF v_storage.graph NOT IN ('current', 'doubtful') THEN
        RETURN QUERY VALUES ('note',
                             CASE v_storage.graph
                             WHEN 'reshaping' THEN 'new parents are being chosen for all objects: there is nothing to verify'
                             ELSE 'the graph is not built yet: there is nothing to verify'
                             END,
                             NULL::bigint, NULL::bigint[], 'relpack pack --dry-run');
        RETURN;
    END IF;
    v_settled := NOT EXISTS (SELECT FROM relpack.suspect);
    RETURN QUERY
    WITH found (kind, zoid) AS (
        -- Rows above listed_tid are the next capture's.
        SELECT 'other_than_stored', coalesce(stored.zoid, object.zoid)
        FROM (
            SELECT one.zoid, one.tid FROM relpack.stored() AS one WHERE NOT v_storage.keeps_history
            UNION ALL
            -- Of several revisions the graph has the newest tid.
            SELECT several.zoid, max(several.tid) FROM relpack.stored() AS several WHERE v_storage.keeps_history GROUP BY several.zoid
        ) AS stored (zoid, tid)
        FULL JOIN relpack.object ON object.zoid = stored.zoid
        LEFT JOIN relpack.missing ON missing.zoid = object.zoid
        WHERE CASE WHEN missing.zoid IS NULL THEN stored.tid IS DISTINCT FROM object.tid ELSE stored.tid IS NOT NULL END
          AND (stored.tid IS NULL OR stored.tid <= v_storage.listed_tid)
          AND v_doubt IS NULL
          AND NOT EXISTS (SELECT FROM relpack.pending WHERE pending.zoid = coalesce(stored.zoid, object.zoid))
          AND NOT EXISTS (SELECT FROM relpack.write_event
                          WHERE write_event.zoid = coalesce(stored.zoid, object.zoid)
                             OR write_event.kind = 'truncated')
        UNION ALL
        SELECT 'missing', lost.zoid
        FROM relpack.missing_object AS lost
        WHERE v_settled
          AND NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = lost.zoid)
        UNION ALL
        SELECT 'dangling', edge.zoid
        FROM (SELECT DISTINCT object_inref.zoid
              FROM relpack.object_inref
              JOIN relpack.object AS referrer ON referrer.zoid = object_inref.inref
              WHERE v_settled AND referrer.parent IS NOT NULL) AS edge
        LEFT JOIN relpack.object ON object.zoid = edge.zoid
        WHERE object.zoid IS NULL
          AND NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = edge.zoid)
        UNION ALL
        SELECT 'uncurrent', unnest(bare.zoids)
        FROM relpack.uncurrent(-1, 2147483647) AS bare
        WHERE v_settled
        UNION ALL
        SELECT 'blob_without_large_object', broken.zoid
        FROM relpack.broken_blobs() AS broken (zoid)
        WHERE v_settled
    ), numbered AS (
        SELECT found.kind, found.zoid,
               row_number() OVER (PARTITION BY found.kind ORDER BY found.zoid) AS place
        FROM found
    ), counted (kind, objects, zoids) AS (
        SELECT graph.kind, graph.objects, graph.zoids
        FROM relpack.verify_graph() AS graph
        UNION ALL
        SELECT numbered.kind, count(*),
               array_agg(numbered.zoid ORDER BY numbered.zoid) FILTER (WHERE numbered.place <= 10)
        FROM numbered
        GROUP BY numbered.kind
        UNION ALL
        SELECT 'doubt', NULL, NULL
        WHERE v_doubt IS NOT NULL
    )
    SELECT known.severity, known.meaning, counted.objects, counted.zoids, known.remedy
    FROM counted
    JOIN relpack.finding_kind AS known ON known.kind = counted.kind
    ORDER BY known.severity, known.meaning;
END;
$$;

COMMENT ON FUNCTION relpack.verify() IS
    'Checks the graph against itself and against the tids in object_state. '
    'A row per kind of finding, with how many objects it concerns and up to ten of them; no row: sound. '
    'severity error: the graph is wrong, nothing should be deleted before it is mended; damage: the graph is right, '
    'the storage is not: live objects that have no state or can''t be decoded, or that refer to what is not stored; '
    'note: worth knowing, not wrong: work that a run has left open. '
    'Reads everything once and writes nothing; states are not decoded ("relpack verify" does that).';
