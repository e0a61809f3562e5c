CREATE OR REPLACE FUNCTION relpack.discard_blob_removals()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_pack_lock();
    DELETE FROM relpack.blob_removal;
END;
$$;

COMMENT ON FUNCTION relpack.discard_blob_removals() IS
    'Empties relpack.blob_removal of a storage whose blobs are in the database: their rows and large objects went '
    'with the objects, there are no files.';
