-- Proves, in one snapshot, what relpack believes of the storage. Nothing is
-- locked or written, and commits go on: what they changed since the last
-- capture has a higher tid or an event, and is left aside. Statements are
-- set-based and spill to disk, so that memory stays bounded.
CREATE OR REPLACE FUNCTION relpack.verify(
    OUT severity text, OUT finding text, OUT objects bigint, OUT zoids bigint[], OUT remedy text)
RETURNS SETOF record
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
AS $$
DECLARE
    v_storage relpack.storage;
    v_doubt text;
    v_settled boolean;
BEGIN
    SELECT * INTO STRICT v_storage FROM relpack.storage;
    v_doubt := relpack.doubt();
    IF v_storage.graph NOT IN ('known', 'doubtful') THEN
        RETURN QUERY VALUES ('note', 'the graph is not built yet: there is nothing to verify', NULL::bigint,
                             NULL::bigint[], 'relpack pack');
        RETURN;
    END IF;
    -- Edges, nodes and what is open are changed together, so that they agree
    -- even in the middle of a run. Who is reachable is known at its end only.
    v_settled := NOT EXISTS (SELECT FROM relpack.suspect);
    RETURN QUERY
    WITH found (finding, zoid) AS (
        SELECT 'no root', 0
        WHERE NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = 0 AND object.parent = 0)
        UNION ALL
        SELECT 'parent without reference', child.zoid
        FROM relpack.object AS child
        WHERE child.parent IS NOT NULL
          AND child.zoid <> 0
          AND NOT EXISTS (SELECT FROM relpack.object_inref AS edge
                          WHERE edge.zoid = child.zoid AND edge.inref = child.parent)
        UNION ALL
        SELECT 'attached with detached_tid', object.zoid
        FROM relpack.object
        WHERE object.parent IS NOT NULL AND object.detached_tid IS NOT NULL
        UNION ALL
        SELECT 'parent detached', child.zoid
        FROM relpack.object AS child
        LEFT JOIN relpack.object AS parent ON parent.zoid = child.parent
        WHERE v_settled AND child.parent IS NOT NULL AND parent.parent IS NULL
        UNION ALL
        SELECT 'parents in a circle', object.zoid
        FROM relpack.object
        LEFT JOIN relpack.tree_zoids() AS tree (zoid) ON tree.zoid = object.zoid
        WHERE v_settled AND object.parent IS NOT NULL AND tree.zoid IS NULL
        UNION ALL
        SELECT 'live but detached', child.zoid
        FROM relpack.object AS child
        WHERE v_settled
          AND child.parent IS NULL
          AND EXISTS (SELECT
                      FROM relpack.object_inref AS edge
                      JOIN relpack.object AS referrer ON referrer.zoid = edge.inref
                      WHERE edge.zoid = child.zoid AND referrer.parent IS NOT NULL)
        UNION ALL
        SELECT 'referrer is no node', edge.inref
        FROM (SELECT DISTINCT object_inref.inref FROM relpack.object_inref) AS edge
        LEFT JOIN relpack.object ON object.zoid = edge.inref
        WHERE object.zoid IS NULL
        UNION ALL
        -- Rows above collected_tid are the next capture's.
        SELECT 'other than stored', coalesce(stored.zoid, object.zoid)
        FROM public.object_state AS stored
        FULL JOIN relpack.object ON object.zoid = stored.zoid
        WHERE stored.tid IS DISTINCT FROM object.tid
          AND (stored.tid IS NULL OR stored.tid <= v_storage.collected_tid)
          AND v_doubt IS NULL
          AND NOT EXISTS (SELECT FROM relpack.pending WHERE pending.zoid = coalesce(stored.zoid, object.zoid))
          AND NOT EXISTS (SELECT FROM relpack.write_event
                          WHERE write_event.zoid = coalesce(stored.zoid, object.zoid)
                             OR write_event.kind = 'truncated')
        UNION ALL
        SELECT 'work for no node', orphan.zoid
        FROM (SELECT suspect.zoid FROM relpack.suspect
              UNION ALL
              SELECT doomed.zoid FROM relpack.doomed
              UNION ALL
              SELECT problem.zoid FROM relpack.problem) AS orphan
        LEFT JOIN relpack.object ON object.zoid = orphan.zoid
        WHERE object.zoid IS NULL
        UNION ALL
        SELECT 'live but doomed', doomed.zoid
        FROM relpack.doomed
        JOIN relpack.object ON object.zoid = doomed.zoid
        WHERE v_settled AND object.parent IS NOT NULL AND v_storage.doomed_tid = v_storage.applied_tid
        UNION ALL
        SELECT 'dangling', edge.zoid
        FROM (SELECT DISTINCT object_inref.zoid
              FROM relpack.object_inref
              JOIN relpack.object AS referrer ON referrer.zoid = object_inref.inref
              WHERE v_settled AND referrer.parent IS NOT NULL) AS edge
        LEFT JOIN relpack.object ON object.zoid = edge.zoid
        WHERE object.zoid IS NULL
          AND NOT EXISTS (SELECT FROM public.object_state AS stored WHERE stored.zoid = edge.zoid)
    ), numbered AS (
        SELECT found.finding, found.zoid,
               row_number() OVER (PARTITION BY found.finding ORDER BY found.zoid) AS place
        FROM found
    ), counted AS (
        SELECT numbered.finding, count(*) AS objects,
               array_agg(numbered.zoid ORDER BY numbered.zoid) FILTER (WHERE numbered.place <= 10) AS zoids
        FROM numbered
        GROUP BY numbered.finding
        UNION ALL
        SELECT 'objects miscounted', abs(v_storage.objects - (SELECT count(*) FROM relpack.object)), NULL
        WHERE v_storage.objects <> (SELECT count(*) FROM relpack.object)
        UNION ALL
        SELECT 'references miscounted', abs(v_storage.inrefs - (SELECT count(*) FROM relpack.object_inref)), NULL
        WHERE v_storage.inrefs <> (SELECT count(*) FROM relpack.object_inref)
        UNION ALL
        SELECT 'doubt', NULL, NULL WHERE v_doubt IS NOT NULL
        UNION ALL
        SELECT 'unfinished', (SELECT count(*) FROM relpack.suspect), NULL WHERE NOT v_settled
    )
    SELECT known.severity,
           CASE known.finding WHEN 'doubt' THEN known.meaning || v_doubt ELSE known.meaning END,
           counted.objects, counted.zoids,
           CASE known.severity WHEN 'error' THEN 'relpack pack --init' ELSE known.remedy END
    FROM counted
    JOIN (VALUES
        ('no root', 'error', 'the graph has no root', NULL),
        ('parent without reference', 'error', 'the parent of these objects does not refer to them', NULL),
        ('parent detached', 'error', 'the parent of these objects is missing or unreachable itself', NULL),
        ('parents in a circle', 'error', 'the parents of these objects do not lead to the root', NULL),
        ('live but detached', 'error', 'a reachable object refers to these, which count as unreachable', NULL),
        ('attached with detached_tid', 'error', 'reachable objects with a time since which they are not', NULL),
        ('referrer is no node', 'error', 'references of objects that relpack does not know', NULL),
        ('other than stored', 'error', 'object_state has another tid or no such row, and nothing reported it', NULL),
        ('work for no node', 'error', 'suspect, doomed or problem name objects that relpack does not know', NULL),
        ('live but doomed', 'error', 'reachable objects are chosen for deletion', NULL),
        ('objects miscounted', 'error', 'relpack.storage.objects is off by this many', NULL),
        ('references miscounted', 'error', 'relpack.storage.inrefs is off by this many', NULL),
        ('doubt', 'note', 'the next pack compares first: ', 'relpack pack'),
        ('unfinished', 'note', 'the reachability of these objects is open', 'relpack pack'),
        ('dangling', 'note', 'reachable objects refer to these, which are not stored (POSKeyError)',
         'SELECT * FROM relpack.referrers(zoid); tells who does')
    ) AS known (finding, severity, meaning, remedy) ON known.finding = counted.finding
    ORDER BY known.severity, known.meaning;
END;
$$;

COMMENT ON FUNCTION relpack.verify() IS
    'Checks the graph against itself and against the tids in object_state: a row per kind of finding, with how many objects it concerns and up to ten of them. severity error: the graph is wrong, nothing should be deleted before it is built anew; note: worth knowing, not wrong: dangling references (which relpack found, and never makes), work that a run has left open. No row: sound. Reads everything once, writes and locks nothing; states are not decoded.';
