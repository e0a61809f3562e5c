CREATE OR REPLACE FUNCTION relpack.trim_classes(zoids bigint[], tids bigint[], OUT class text, OUT revisions bigint, OUT bytes bigint)
RETURNS SETOF record
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
BEGIN
    RETURN QUERY
    SELECT known.label, found.revisions, found.bytes
    FROM (
        SELECT object.class AS id, count(*) AS revisions, sum(stored.state_size)::bigint AS bytes
        FROM unnest(zoids, tids) AS goes (zoid, tid)
        CROSS JOIN LATERAL (SELECT node.class FROM relpack.object AS node WHERE node.zoid = goes.zoid OFFSET 0) AS object
        CROSS JOIN LATERAL (
            SELECT object_state.state_size
            FROM public.object_state
            WHERE object_state.zoid = goes.zoid AND object_state.tid BETWEEN goes.tid AND goes.tid
            OFFSET 0
        ) AS stored
        GROUP BY object.class
    ) AS found
    CROSS JOIN LATERAL (SELECT few.label FROM relpack.class AS few WHERE few.id = found.id OFFSET 0) AS known
    ORDER BY known.label;
END;
$$;

COMMENT ON FUNCTION relpack.trim_classes(bigint[], bigint[]) IS
    'Step of a dry run: of which classes these revisions are, as far as the graph knows their objects, how many of each, and '
    'the bytes of their states.';
