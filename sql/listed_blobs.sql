-- A hole in the live graph keeps its file: a live object refers to it, and the
-- row may be put back. One that is back is listed, to be struck off, whether its file
-- was missed or not.
CREATE OR REPLACE FUNCTION relpack.listed_blobs(
    after_zoid bigint, after_tid bigint, batch integer,
    OUT zoid bigint, OUT tid bigint, OUT missed boolean)
RETURNS SETOF record
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $$
DECLARE
    v_oldest timestamptz;
BEGIN
    PERFORM relpack.lock_storage();
    IF relpack.keeps_history() THEN
        v_oldest := coalesce(relpack.grace_oldest_transaction(), 'infinity');
        RETURN QUERY
        SELECT removal.zoid, removal.tid,
               removal.missed IS NOT NULL
               AND NOT EXISTS (
                   SELECT
                   FROM relpack.stored()
                   WHERE stored.zoid = removal.zoid AND stored.tid BETWEEN removal.tid AND removal.tid
                   OFFSET 0)
        FROM relpack.blob_removal AS removal
        WHERE (removal.zoid, removal.tid) > (after_zoid, after_tid)
          AND removal.since < v_oldest
        ORDER BY removal.zoid, removal.tid
        LIMIT batch;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT removal.zoid, removal.tid,
           removal.missed IS NOT NULL AND NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = removal.zoid OFFSET 0)
    FROM relpack.blob_removal AS removal
    WHERE (removal.zoid, removal.tid) > (after_zoid, after_tid)
      AND (NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = removal.zoid AND object.parent IS NOT NULL OFFSET 0)
           OR EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = removal.zoid OFFSET 0))
    ORDER BY removal.zoid, removal.tid
    LIMIT batch;
END;
$$;

COMMENT ON FUNCTION relpack.listed_blobs(bigint, bigint, integer) IS
    'The next blobs of relpack.blob_removal whose files may go. '
    'Those are left out that live objects refer to and that are not stored; in a '
    'history-preserving storage, revisions that an open transaction may still read. '
    'missed: the file was not there before, and what it is of is not stored again. '
    'Before any of their files goes, a commit that begins after this look must be durable, on standbys too: it takes '
    'the deletions along.';
