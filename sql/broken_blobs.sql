-- As relpack.set_aside_blobs(), for blobs that are alive: their content is gone.
CREATE OR REPLACE FUNCTION relpack.broken_blobs()
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
        JOIN relpack.object ON object.zoid = blob_chunk.zoid
        WHERE known.oid IS NULL AND object.parent IS NOT NULL;
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.broken_blobs() IS
    'Reachable blobs with a row in blob_chunk whose large object does not exist.';
