-- As relpack.blobs_next() decides, but for transactions that are open now.
CREATE OR REPLACE FUNCTION relpack.blobs_due(
    after_zoid bigint, after_tid bigint, batch integer,
    OUT zoid bigint, OUT tid bigint, OUT missed boolean)
RETURNS SETOF record
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_history boolean;
BEGIN
    PERFORM relpack.lock_storage();
    v_history := relpack.keeps_history();
    RETURN QUERY
    SELECT removal.zoid, removal.tid, removal.missed IS NOT NULL
    FROM relpack.blob_removal AS removal
    WHERE (removal.zoid, removal.tid) > (after_zoid, after_tid)
      AND NOT EXISTS (
          SELECT
          FROM relpack.stored()
          WHERE stored.zoid = removal.zoid AND (stored.tid = removal.tid OR NOT v_history)
          OFFSET 0)
      AND (NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = removal.zoid AND object.parent IS NOT NULL OFFSET 0)
           OR (v_history AND EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = removal.zoid OFFSET 0)))
    ORDER BY removal.zoid, removal.tid
    LIMIT batch;
END;
$$;

COMMENT ON FUNCTION relpack.blobs_due(bigint, bigint, integer) IS
    'For a dry run: the next blobs of relpack.blob_removal whose files the next pack removes, unless a transaction is open '
    'then that may still read them. missed: their files were not there before.';
