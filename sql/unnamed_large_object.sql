-- Their sizes are in a table that a superuser may read only, unless it was granted.
CREATE OR REPLACE FUNCTION relpack.unnamed_large_object()
RETURNS SETOF oid
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
AS $$
BEGIN
    IF coalesce(has_table_privilege(to_regclass('public.blob_chunk'), 'SELECT'), false) THEN
        RETURN QUERY
        SELECT known.oid
        FROM pg_largeobject_metadata AS known
        WHERE NOT EXISTS (SELECT FROM public.blob_chunk WHERE blob_chunk.chunk = known.oid);
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.unnamed_large_object() IS
    'Large objects of this database that no row of blob_chunk names. Another application may use them.';
