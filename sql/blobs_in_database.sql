-- A configuration that says nothing of shared-blob-dir leaves open where blobs
-- are. Looked at before a deletion, which takes the chunks along.
CREATE OR REPLACE FUNCTION relpack.blobs_in_database()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_stored bigint;
    v_kept bigint;
BEGIN
    -- In two statements: without the table the second can't be planned.
    IF to_regclass('public.blob_chunk') IS NULL THEN
        RETURN false;
    END IF;
    -- Where blobs are rare, to find some would have all objects read.
    IF NOT EXISTS (SELECT FROM public.blob_chunk) THEN
        RETURN false;
    END IF;
    -- A storage whose blobs were moved into files may still have old chunks.
    SELECT count(*), count(*) FILTER (WHERE EXISTS (
        SELECT
        FROM public.blob_chunk
        WHERE blob_chunk.zoid = sampled.zoid AND blob_chunk.tid = sampled.tid))
    INTO v_stored, v_kept
    FROM (
        (SELECT detached.zoid, detached.tid
         FROM relpack.detached
         WHERE detached.class = 1
           AND NOT EXISTS (
               SELECT
               FROM relpack.stored()
               WHERE stored.zoid = detached.zoid AND stored.tid BETWEEN detached.tid AND detached.tid AND stored.state IS NULL
               OFFSET 0)
         LIMIT 100)
        UNION ALL
        SELECT live.zoid, live.tid FROM relpack.live_blobs() AS live
    ) AS sampled;
    RETURN v_stored > 0 AND v_kept = v_stored;
END;
$$;

COMMENT ON FUNCTION relpack.blobs_in_database() IS
    'Whether blobs are kept in the database: all of some reachable and some unreachable blobs have their chunks in blob_chunk.';
