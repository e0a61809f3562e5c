-- RelStorage's trigger unlinks the large objects of a chunk that is deleted, and
-- fails where one is gone (a restore without large objects, vacuumlo): such a
-- blob would stop each deletion, for all.
CREATE OR REPLACE FUNCTION relpack.set_aside_blobs()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
SET enable_hashjoin = on
SET enable_mergejoin = on
SET enable_seqscan = on
AS $$
DECLARE
    v_some boolean := false;
BEGIN
    -- In two statements: without the table the second can't be planned.
    IF to_regclass('public.blob_chunk') IS NOT NULL THEN
        SELECT EXISTS (SELECT FROM public.blob_chunk) INTO v_some;
    END IF;
    IF NOT v_some THEN
        RETURN;
    END IF;
    INSERT INTO relpack.set_aside (zoid, reason, remedy)
    SELECT broken.zoid,
           format('large object %s of its row in blob_chunk does not exist', broken.chunk),
           format('As the owner of blob_chunk: SELECT lo_create(%s); and the next pack deletes the blob', broken.chunk)
    FROM (
        SELECT blob_chunk.zoid, min(blob_chunk.chunk) AS chunk
        FROM relpack.doomed
        JOIN public.blob_chunk ON blob_chunk.zoid = doomed.zoid
        LEFT JOIN pg_largeobject_metadata AS known ON known.oid = blob_chunk.chunk
        WHERE known.oid IS NULL
        GROUP BY blob_chunk.zoid
    ) AS broken;
    IF FOUND THEN
        PERFORM relpack.spare_set_aside();
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.set_aside_blobs() IS
    'Step of relpack.doom(): sets aside blobs of which a large object is gone, so that the rest can be deleted.';
