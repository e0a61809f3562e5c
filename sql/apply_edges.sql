-- Most references of a changed object are what they were: those recorded
-- (1) and those read (2) are laid side by side once, and only what differs
-- is looked up. Edges that are gone detach what hung on them. Every detached
-- target of any new edge is suspected, whoever the edge comes from.
CREATE OR REPLACE FUNCTION relpack.apply_edges(
    watermark bigint, since bigint, OUT removed bigint, OUT added bigint, OUT named bigint[], OUT unnamed bigint[])
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    WITH difference AS MATERIALIZED (
        SELECT edge.zoid, edge.inref, bit_or(edge.side) AS side
        FROM (
            SELECT recorded.zoid, examined.zoid AS inref,
                   CASE WHEN (examined.tid > apply_edges.watermark) IS NOT TRUE THEN 1 ELSE 3 END AS side
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
        SET parent = NULL, detached_tid = apply_edges.since
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
    INTO removed, added, named, unnamed;
END;
$$;

COMMENT ON FUNCTION relpack.apply_edges(bigint, bigint) IS
    'Step of relpack.apply(): references that are gone leave the graph, and what hung on them is detached, as of since; '
    'new ones enter it. Returns how many, and what is referred to no longer (unnamed) and now (named).';
