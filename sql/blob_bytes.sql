CREATE OR REPLACE FUNCTION relpack.blob_bytes(zoids bigint[], OUT zoid bigint, OUT bytes bigint)
RETURNS SETOF record
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_chunks oid[];
BEGIN
    IF NOT coalesce(has_table_privilege(to_regclass('public.blob_chunk'), 'SELECT'), false) THEN
        RETURN;
    END IF;
    FOR zoid, v_chunks IN
        SELECT asked.zoid, array_agg(known.oid)
        FROM unnest(zoids) AS asked (zoid)
        CROSS JOIN LATERAL (
            SELECT blob_chunk.chunk FROM public.blob_chunk WHERE blob_chunk.zoid = asked.zoid OFFSET 0
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
    'How many bytes the large objects of these blobs have, as blob_chunk names them. '
    'NULL where this role may not read one of them; no row for a blob without any.';
