-- Of a history-preserving storage: where garbage stays there is no graph, so that the
-- states are looked at. Only what is stored now proves a blob directory.
CREATE OR REPLACE FUNCTION relpack.current_blobs(
    zoids bigint[],
    OUT zoid bigint, OUT tid bigint)
RETURNS SETOF record
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
AS $$
BEGIN
    LOCK TABLE public.object_state IN ACCESS SHARE MODE;
    RETURN QUERY
    SELECT known.zoid, stored.tid
    FROM (SELECT DISTINCT unnest(zoids) AS zoid) AS known
    JOIN public.current_object ON current_object.zoid = known.zoid
    CROSS JOIN LATERAL (
        SELECT stored.tid, stored.state
        FROM relpack.stored()
        WHERE stored.zoid = known.zoid AND stored.tid BETWEEN current_object.tid AND current_object.tid
        OFFSET 0
    ) AS stored
    WHERE stored.state IS NOT NULL
      AND coalesce(relpack.names_blob(stored.state),
                   EXISTS (SELECT FROM relpack.object WHERE object.zoid = known.zoid AND object.class = 1 OFFSET 0));
END;
$$;

COMMENT ON FUNCTION relpack.current_blobs(bigint[]) IS
    'Those of these objects of a history-preserving storage that are blobs, with their current revisions.';
