CREATE OR REPLACE FUNCTION relpack.blobs_stored(zoids bigint[], tids bigint[], OUT zoid bigint, OUT tid bigint, OUT file boolean)
RETURNS SETOF record
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_history boolean := relpack.keeps_history();
BEGIN
    RETURN QUERY
    SELECT stored.zoid, stored.tid, stored.file
    FROM unnest(zoids, tids) AS asked (zoid, tid)
    CROSS JOIN LATERAL (
        SELECT found.zoid, found.tid,
               CASE
               WHEN v_history THEN
                   position('ZODB.blob'::bytea IN substring(found.state FROM 1 FOR 24)) > 0
                   OR (substring(found.state FROM 1 FOR 1) = '.' AND substring(found.state FROM 1 FOR 2) <> '.z'
                       AND octet_length(found.state) < 300)
               ELSE true
               END IS TRUE AS file
        FROM relpack.stored() AS found
        WHERE found.zoid = asked.zoid AND found.tid BETWEEN asked.tid AND asked.tid
        OFFSET 0
    ) AS stored;
END;
$$;

COMMENT ON FUNCTION relpack.blobs_stored(bigint[], bigint[]) IS
    'Step of relpack.blobs_going(): those of these revisions that are stored. file: it may have one, as relpack.trim_delete() '
    'decides; of a history-free storage only blobs are asked for.';
