-- For a dry run: what relpack.trim_delete() and the sweep, with RelStorage's trigger on
-- blob_chunk, would do. Large objects of two revisions of an object, as an undo leaves
-- them, go with the later one, and not at all if a trim keeps one of them. The large
-- objects of an object are read once in each call, however many revisions it has.
CREATE OR REPLACE FUNCTION relpack.blobs_going(
    zoids bigint[], tids bigint[], until_tid bigint,
    OUT zoid bigint, OUT tid bigint, OUT file boolean, OUT large bigint, OUT bytes bigint)
RETURNS SETOF record
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_mergejoin = off
AS $$
DECLARE
    v_history boolean := relpack.keeps_history();
    v_chunks boolean := false;
    v_large oid[];
BEGIN
    PERFORM relpack.lock_storage();
    IF to_regclass('public.blob_chunk') IS NOT NULL THEN
        v_chunks := EXISTS (SELECT FROM public.blob_chunk);
    END IF;
    IF NOT v_chunks THEN
        large := 0;
        bytes := 0;
        RETURN QUERY
        SELECT stored.zoid, stored.tid, true, large, bytes
        FROM relpack.blobs_stored(zoids, tids) AS stored
        WHERE stored.file;
        RETURN;
    END IF;
    FOR zoid, tid, file, v_large IN
        WITH chunk AS MATERIALIZED (
            SELECT own.zoid, own.tid, own.chunk, max(own.tid) OVER shared AS last, min(own.tid) OVER shared AS first
            FROM (SELECT DISTINCT unnest(zoids) AS zoid) AS object
            CROSS JOIN LATERAL (
                SELECT blob_chunk.zoid, blob_chunk.tid, blob_chunk.chunk
                FROM public.blob_chunk
                WHERE blob_chunk.zoid = object.zoid
                OFFSET 0
            ) AS own
            WINDOW shared AS (PARTITION BY own.zoid, own.chunk)
        ), kept AS MATERIALIZED (
            SELECT object.zoid, kept.tid
            FROM (SELECT DISTINCT chunk.zoid FROM chunk WHERE chunk.first < chunk.last AND v_history AND until_tid IS NOT NULL) AS object
            CROSS JOIN LATERAL relpack.trim_kept(object.zoid, until_tid) AS kept (tid)
        ), held AS MATERIALIZED (
            SELECT chunk.zoid, chunk.chunk
            FROM chunk
            WHERE chunk.first < chunk.last AND ((chunk.zoid, chunk.tid) IN (SELECT kept.zoid, kept.tid FROM kept)) IS TRUE
        ), own AS MATERIALIZED (
            SELECT chunk.zoid, CASE WHEN v_history THEN chunk.tid END AS tid,
                   array_agg(DISTINCT known.oid) FILTER (
                       WHERE known.oid IS NOT NULL
                         AND (NOT v_history
                              OR chunk.tid = chunk.last
                                 AND ((chunk.zoid, chunk.chunk) IN (SELECT held.zoid, held.chunk FROM held)) IS NOT TRUE)) AS large
            FROM chunk
            LEFT JOIN LATERAL (
                SELECT metadata.oid FROM pg_largeobject_metadata AS metadata WHERE metadata.oid = chunk.chunk OFFSET 0
            ) AS known ON true
            WHERE NOT v_history
               OR ((chunk.zoid, chunk.tid) IN (SELECT asked.zoid, asked.tid FROM unnest(zoids, tids) AS asked (zoid, tid))) IS TRUE
            GROUP BY 1, 2
        )
        SELECT stored.zoid, stored.tid,
               stored.file AND (own.zoid IS NULL OR NOT v_history), -- in the database there is no file
               own.large
        FROM relpack.blobs_stored(zoids, tids) AS stored
        LEFT JOIN own ON own.zoid = stored.zoid AND (own.tid = stored.tid) IS NOT FALSE
    LOOP
        large := coalesce(cardinality(v_large), 0);
        bytes := CASE WHEN large > 0 THEN relpack.large_object_bytes(v_large) ELSE 0 END;
        IF file OR large > 0 THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END;
$$;

COMMENT ON FUNCTION relpack.blobs_going(bigint[], bigint[], bigint) IS
    'What goes besides with these revisions, which a pack is to delete: a file, if there is one, and large objects. '
    'until_tid: of a trim up to this; NULL: all of the object goes. large, bytes: how many large objects, and their length, '
    'NULL where this role may not read one. For objects of a history-free storage whose class is that of blobs, or not known.';
