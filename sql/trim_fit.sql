CREATE OR REPLACE FUNCTION relpack.trim_fit(zoids bigint[], tids bigint[], locks bigint)
RETURNS bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM public.blob_chunk) THEN
        RETURN cardinality(zoids);
    END IF;
    RETURN (
        SELECT greatest(count(*) FILTER (WHERE counted.chunks <= locks), 1)
        FROM (
            SELECT sum((SELECT count(*) FROM public.blob_chunk
                        WHERE blob_chunk.zoid = chosen.zoid AND blob_chunk.tid = chosen.tid))
                       OVER (ORDER BY chosen.place) AS chunks
            FROM unnest(zoids, tids) WITH ORDINALITY AS chosen (zoid, tid, place)
        ) AS counted);
END;
$$;

COMMENT ON FUNCTION relpack.trim_fit(bigint[], bigint[], bigint) IS
    'Step of relpack.trim_find(): how many of these revisions, from the first, have no more large objects than there '
    'are locks; at least one.';
