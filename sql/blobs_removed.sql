CREATE OR REPLACE FUNCTION relpack.blobs_removed(zoids bigint[], tids bigint[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
AS $$
BEGIN
    PERFORM relpack.require_pack_lock();
    DELETE FROM relpack.blob_removal AS removal
    USING unnest(zoids, tids) AS removed (zoid, tid)
    WHERE removal.zoid = removed.zoid AND removal.tid = removed.tid;
END;
$$;

COMMENT ON FUNCTION relpack.blobs_removed(bigint[], bigint[]) IS
    'Strikes blobs off relpack.blob_removal whose files were found and removed.';
