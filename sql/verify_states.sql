-- States as "relpack verify" read and decoded them a moment ago, against what
-- is recorded. They must be of one snapshot, and not above listed_tid: what
-- is stored then, and is not what the graph was made from, has left an event
-- or is in pending; both are visible by now, and such objects are left aside.
-- A salvaged record is read again by each pack that finds a new object, so that
-- its references need no comparison: their refs are left out. A chunk is small
-- beside the graph: what is known of it is looked up by index, one by one
-- (LATERAL), and nothing else is joined in a loop: no estimate can make a chunk
-- quadratic.
CREATE OR REPLACE FUNCTION relpack.verify_states(
    zoids bigint[], tids bigint[], classes integer[], problems text[], refs bigint[], inrefs bigint[])
RETURNS TABLE (kind text, zoid bigint)
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_mergejoin = off
SET enable_nestloop = off
SET enable_seqscan = off
SET work_mem = '64MB'
AS $$
    WITH judged AS (
        SELECT state.zoid, state.problem,
               CASE
                   WHEN node.tid IS DISTINCT FROM state.tid THEN 'other_than_stored'
                   WHEN EXISTS (SELECT FROM relpack.missing WHERE missing.zoid = state.zoid) THEN 'other_than_stored'
                   WHEN listed.kind IS DISTINCT FROM nullif(state.problem, '') THEN 'other_problem'
                   WHEN node.class <> state.class THEN 'other_class'
               END AS kind
        FROM unnest(zoids, tids, classes, problems) AS state (zoid, tid, class, problem)
        LEFT JOIN LATERAL (
            SELECT object.tid, object.class
            FROM relpack.object
            WHERE object.zoid = state.zoid
            OFFSET 0
        ) AS node ON true
        LEFT JOIN LATERAL (
            SELECT problem.kind
            FROM relpack.problem
            WHERE problem.zoid = state.zoid
            OFFSET 0
        ) AS listed ON true
    ), recorded AS (
        SELECT edge.zoid, edge.inref
        FROM judged
        CROSS JOIN LATERAL (
            SELECT object_inref.zoid, object_inref.inref
            FROM relpack.object_inref
            WHERE object_inref.inref = judged.zoid
            OFFSET 0
        ) AS edge
        WHERE judged.problem <> 'salvaged'
    ), found AS (
        SELECT judged.zoid, judged.kind, 1 AS place
        FROM judged
        WHERE judged.kind IS NOT NULL
        UNION ALL
        SELECT coalesce(decoded.inref, recorded.inref), 'other_references', 2
        FROM unnest(refs, inrefs) AS decoded (zoid, inref)
        FULL JOIN recorded ON recorded.zoid = decoded.zoid AND recorded.inref = decoded.inref
        WHERE decoded.inref IS NULL OR recorded.inref IS NULL
    ), foremost AS (
        SELECT DISTINCT ON (found.zoid) found.zoid, found.kind
        FROM found
        ORDER BY found.zoid, found.place
    )
    SELECT foremost.kind, foremost.zoid
    FROM foremost
    LEFT JOIN LATERAL (
        SELECT pending.zoid
        FROM relpack.pending
        WHERE pending.zoid = foremost.zoid
        OFFSET 0
    ) AS awaited ON true
    WHERE awaited.zoid IS NULL
      AND NOT EXISTS (SELECT FROM relpack.write_event WHERE write_event.zoid = foremost.zoid);
$$;

COMMENT ON FUNCTION relpack.verify_states(bigint[], bigint[], integer[], text[], bigint[], bigint[]) IS
    'Step of "relpack verify": objects whose state, as read (zoids, tids, classes, problems: '''', salvaged, opaque '
    'or empty) and decoded (inrefs refer to refs; none for the salvaged), is not what the graph records.';
