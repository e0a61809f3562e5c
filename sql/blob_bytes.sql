CREATE OR REPLACE FUNCTION relpack.blob_bytes(zoids bigint[], OUT zoid bigint, OUT bytes bigint)
RETURNS SETOF record
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_history boolean := relpack.keeps_history();
    v_tids bigint[];
    v_chunks oid[];
BEGIN
    IF NOT coalesce(has_table_privilege(to_regclass('public.blob_chunk'), 'SELECT'), false) THEN
        RETURN;
    END IF;
    IF v_history THEN
        v_tids := ARRAY(
            SELECT (SELECT current_object.tid FROM public.current_object WHERE current_object.zoid = asked.zoid)
            FROM unnest(zoids) WITH ORDINALITY AS asked (zoid, position)
            ORDER BY asked.position);
    END IF;
    FOR zoid, v_chunks IN
        SELECT asked.zoid, array_agg(known.oid)
        FROM unnest(zoids, v_tids) AS asked (zoid, tid)
        CROSS JOIN LATERAL (
            SELECT blob_chunk.chunk
            FROM public.blob_chunk
            WHERE blob_chunk.zoid = asked.zoid AND (blob_chunk.tid = asked.tid OR NOT v_history)
            OFFSET 0
        ) AS kept
        CROSS JOIN LATERAL (
            SELECT oid FROM pg_largeobject_metadata WHERE oid = kept.chunk OFFSET 0
        ) AS known
        GROUP BY asked.zoid
    LOOP
        bytes := relpack.large_object_bytes(v_chunks);
        RETURN NEXT;
    END LOOP;
END;
$$;

COMMENT ON FUNCTION relpack.blob_bytes(bigint[]) IS
    'How many bytes the large objects of these blobs have, as blob_chunk names them; '
    'in a history-preserving storage those of their current revisions. '
    'NULL where this role may not read one of them; no row for a blob without any.';
