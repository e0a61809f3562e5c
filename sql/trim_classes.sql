-- The newest state of those that go tells the class where no graph does: those that come
-- later may be none. Its beginning is enough, compressed or not.
CREATE OR REPLACE FUNCTION relpack.trim_classes(zoids bigint[], tids bigint[])
RETURNS TABLE (zoid bigint, class text, head bytea)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    PERFORM relpack.lock_storage(history => true);
    RETURN QUERY
    SELECT object.zoid, known.label, newest.head
    FROM (
        SELECT revision.zoid, min(revision.tid) AS oldest, max(revision.tid) AS newest
        FROM (SELECT unnest(zoids) AS zoid, unnest(tids) AS tid) AS revision
        GROUP BY revision.zoid
        ORDER BY revision.zoid
    ) AS object
    LEFT JOIN LATERAL (
        SELECT few.label
        FROM (SELECT node.class FROM relpack.object AS node WHERE node.zoid = object.zoid AND node.class <> 0 OFFSET 0) AS graph
        CROSS JOIN LATERAL (SELECT named.label FROM relpack.class AS named WHERE named.id = graph.class OFFSET 0) AS few
        OFFSET 0
    ) AS known ON true
    LEFT JOIN LATERAL (
        SELECT substring(stored.state FROM 1 FOR 500) AS head
        FROM public.object_state AS stored
        WHERE known.label IS NULL
          AND stored.zoid = object.zoid
          AND stored.tid BETWEEN object.oldest AND object.newest
          AND octet_length(stored.state) > 0
        ORDER BY stored.tid DESC
        LIMIT 1
    ) AS newest ON true;
END;
$$;

COMMENT ON FUNCTION relpack.trim_classes(bigint[], bigint[]) IS
    'Step of a trim: of which class each object is that loses these revisions, as far as the graph knows. head: where it '
    'does not, the first bytes of the newest state among them, for the client to decode.';
