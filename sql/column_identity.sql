-- ALTER TABLE leaves a trace in xmin of the catalog rows of the columns that it
-- alters; VACUUM FULL, CLUSTER, pg_repack and a further column leave none there.
CREATE OR REPLACE FUNCTION relpack.column_identity()
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT coalesce(string_agg(format('%s:%s', attname, xmin), ' ' ORDER BY attname), '')
        FROM pg_attribute
        WHERE attrelid = to_regclass('public.object_state')
          AND attname IN ('zoid', 'tid', 'state_size', 'state')
          AND NOT attisdropped);
END;
$$;

COMMENT ON FUNCTION relpack.column_identity() IS
    'Catalog identity of the columns of object_state: another one than in relpack.storage.column_identity means that '
    'they were altered, which may have changed every state without a trigger.';
