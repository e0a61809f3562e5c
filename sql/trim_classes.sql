CREATE OR REPLACE FUNCTION relpack.trim_classes(zoids bigint[], sizes bigint[], OUT class text, OUT revisions bigint, OUT bytes bigint)
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
        SELECT object.class AS id, sum(few.revisions)::bigint AS revisions, sum(few.bytes)::bigint AS bytes
        FROM (
            SELECT revision.zoid, count(*) AS revisions, sum(revision.size) AS bytes
            FROM unnest(zoids, sizes) AS revision (zoid, size)
            GROUP BY revision.zoid
        ) AS few
        CROSS JOIN LATERAL (SELECT node.class FROM relpack.object AS node WHERE node.zoid = few.zoid OFFSET 0) AS object
        GROUP BY object.class
    ) AS found
    CROSS JOIN LATERAL (SELECT few.label FROM relpack.class AS few WHERE few.id = found.id OFFSET 0) AS known
    ORDER BY known.label;
END;
$$;

COMMENT ON FUNCTION relpack.trim_classes(bigint[], bigint[]) IS
    'Step of a trim: of which classes revisions are, as far as the graph knows their objects, how many of each, and '
    'their bytes; zoids, sizes: of each revision.';
