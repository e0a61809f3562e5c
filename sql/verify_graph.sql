-- The graph against itself. It reads relpack's tables only, so that nobody who
-- wants object_state for himself (TRUNCATE, VACUUM FULL) waits for it. Edges,
-- nodes and what is open are changed together, so that they agree even in the
-- middle of a run; who is reachable is known at its end only. Statements are
-- set-based and spill to disk: memory stays bounded. Never in a loop, whatever the planner
-- believes of how many are reachable: a graph may be analyzed before that is known.
CREATE OR REPLACE FUNCTION relpack.verify_graph(OUT kind text, OUT objects bigint, OUT zoids bigint[])
RETURNS SETOF record
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off
SET work_mem = '64MB'
AS $$
DECLARE
    v_storage relpack.storage;
    v_settled boolean;
BEGIN
    v_storage := relpack.known_storage();
    v_settled := NOT EXISTS (SELECT FROM relpack.suspect) AND v_storage.graph <> 'reshaping';
    RETURN QUERY
    WITH found (kind, zoid) AS (
        SELECT 'no_root', 0
        -- After a first build that was disturbed it may have to be read yet.
        WHERE CASE WHEN EXISTS (SELECT FROM relpack.object WHERE object.zoid = 0)
                   THEN NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = 0 AND object.parent = 0)
                   ELSE v_storage.settled_tid > 0 END
        UNION ALL
        SELECT 'parent_without_reference', child.zoid
        FROM relpack.object AS child
        WHERE child.parent IS NOT NULL
          AND child.zoid <> 0
          AND NOT EXISTS (SELECT FROM relpack.object_inref AS edge
                          WHERE edge.zoid = child.zoid AND edge.inref = child.parent)
        UNION ALL
        SELECT 'attached_with_detached_tid', object.zoid
        FROM relpack.object
        WHERE object.parent IS NOT NULL AND object.detached_tid IS NOT NULL
        UNION ALL
        SELECT 'parent_detached', child.zoid
        FROM relpack.object AS child
        LEFT JOIN relpack.object AS parent ON parent.zoid = child.parent
        WHERE v_settled AND child.parent IS NOT NULL AND parent.parent IS NULL
        UNION ALL
        SELECT 'parents_in_a_circle', object.zoid
        FROM relpack.object
        LEFT JOIN relpack.verify_tree() AS tree (zoid) ON tree.zoid = object.zoid
        WHERE v_settled AND object.parent IS NOT NULL AND tree.zoid IS NULL
        UNION ALL
        SELECT 'live_but_detached', child.zoid
        FROM relpack.object AS child
        WHERE v_settled
          AND child.parent IS NULL
          AND EXISTS (SELECT
                      FROM relpack.object_inref AS edge
                      JOIN relpack.object AS referrer ON referrer.zoid = edge.inref
                      WHERE edge.zoid = child.zoid AND referrer.parent IS NOT NULL)
        UNION ALL
        SELECT 'referrer_is_no_node', edge.inref
        FROM (SELECT DISTINCT object_inref.inref FROM relpack.object_inref) AS edge
        LEFT JOIN relpack.object ON object.zoid = edge.inref
        WHERE object.zoid IS NULL
        UNION ALL
        SELECT 'work_for_no_node', orphan.zoid
        FROM (SELECT suspect.zoid FROM relpack.suspect
              UNION ALL
              SELECT doomed.zoid FROM relpack.doomed
              UNION ALL
              SELECT missing.zoid FROM relpack.missing
              UNION ALL
              SELECT problem.zoid FROM relpack.problem) AS orphan
        LEFT JOIN relpack.object ON object.zoid = orphan.zoid
        WHERE object.zoid IS NULL
        UNION ALL
        SELECT CASE WHEN problem.blocks THEN 'undecodable' ELSE 'empty' END, problem.zoid
        FROM relpack.problem
        JOIN relpack.object ON object.zoid = problem.zoid
        WHERE v_settled AND object.parent IS NOT NULL AND (problem.blocks
               -- Of a history-preserving storage old revisions may refer to what was undone since.
               OR problem.kind = 'empty' AND NOT EXISTS (SELECT FROM relpack.storage WHERE keeps_history))
        UNION ALL
        SELECT 'live_but_doomed', doomed.zoid
        FROM relpack.doomed
        JOIN relpack.object ON object.zoid = doomed.zoid
        WHERE v_settled AND object.parent IS NOT NULL AND v_storage.doomed_tid = v_storage.applied_tid
    ), numbered AS (
        SELECT found.kind, found.zoid,
               row_number() OVER (PARTITION BY found.kind ORDER BY found.zoid) AS place
        FROM found
    )
    SELECT numbered.kind, count(*),
           array_agg(numbered.zoid ORDER BY numbered.zoid) FILTER (WHERE numbered.place <= 10)
    FROM numbered
    GROUP BY numbered.kind
    UNION ALL
    SELECT 'objects_miscounted', abs(v_storage.objects - counted.objects), NULL
    FROM (SELECT count(*) AS objects FROM relpack.object) AS counted
    WHERE counted.objects <> v_storage.objects
    UNION ALL
    SELECT 'references_miscounted', abs(v_storage.inrefs - counted.inrefs), NULL
    FROM (SELECT count(*) AS inrefs FROM relpack.object_inref) AS counted
    WHERE counted.inrefs <> v_storage.inrefs
    UNION ALL
    SELECT 'unfinished', (SELECT count(*) FROM relpack.suspect), NULL
    WHERE NOT v_settled;
END;
$$;

COMMENT ON FUNCTION relpack.verify_graph() IS
    'Step of relpack.verify() and "relpack verify": checks the graph against itself; '
    'a row per kind of finding (relpack.finding_kind), with how many objects it concerns and up to ten of them.';
