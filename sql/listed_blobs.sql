CREATE OR REPLACE FUNCTION relpack.listed_blobs(
    after_zoid bigint, after_tid bigint, batch integer,
    OUT zoid bigint, OUT tid bigint)
RETURNS SETOF record
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT removal.zoid, removal.tid
    FROM relpack.blob_removal AS removal
    WHERE (removal.zoid, removal.tid) > (after_zoid, after_tid)
      AND NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = removal.zoid AND object.parent IS NOT NULL)
    ORDER BY removal.zoid, removal.tid
    LIMIT batch;
$$;

COMMENT ON FUNCTION relpack.listed_blobs(bigint, bigint, integer) IS
    'The next blobs of relpack.blob_removal, but for those that live objects refer to. Before any of their files goes, a commit that begins after this look must be durable, on standbys too: it takes the deletions along.';
