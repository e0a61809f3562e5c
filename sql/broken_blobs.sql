-- As relpack.set_aside_blobs(), for blobs that are alive: their content is gone. Those
-- that were attached since the last pack only a client knows.
CREATE OR REPLACE FUNCTION relpack.broken_blobs(attached bigint[] DEFAULT '{}')
RETURNS SETOF bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
AS $$
BEGIN
    IF coalesce(has_table_privilege(to_regclass('public.blob_chunk'), 'SELECT'), false) THEN
        RETURN QUERY
        SELECT DISTINCT blob_chunk.zoid
        FROM public.blob_chunk
        LEFT JOIN pg_largeobject_metadata AS known ON known.oid = blob_chunk.chunk
        LEFT JOIN relpack.object ON object.zoid = blob_chunk.zoid
        WHERE known.oid IS NULL AND (object.parent IS NOT NULL OR blob_chunk.zoid = ANY (attached));
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.broken_blobs(bigint[]) IS
    'Reachable blobs with a row in blob_chunk whose large object does not exist. '
    'attached: others that are known to be reachable since the last pack.';
