-- Looks no further than to the first large object that is too many.
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
    RETURN coalesce(
        (SELECT greatest(chosen.place - 1, 1)
         FROM unnest(zoids, tids) WITH ORDINALITY AS chosen (zoid, tid, place)
         CROSS JOIN LATERAL (
             SELECT
             FROM public.blob_chunk
             WHERE blob_chunk.zoid = chosen.zoid AND blob_chunk.tid = chosen.tid
             OFFSET 0
         ) AS held
         ORDER BY chosen.place
         OFFSET locks
         LIMIT 1),
        cardinality(zoids));
END;
$$;

COMMENT ON FUNCTION relpack.trim_fit(bigint[], bigint[], bigint) IS
    'Step of relpack.trim_find(): how many of these revisions, from the first, have no more large objects than there '
    'are locks; at least one.';
