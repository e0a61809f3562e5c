-- Historical connections keep a transaction open for hours and read what is removed
-- meanwhile. Who began after a removal was committed sees none of it; that is a later
-- time than the one when the row was deleted. The clock may have been set back since: who
-- is there now has begun before. While our triggers were off, nobody noted that a row was
-- put back, seen and deleted once more (relpack.trigger_delete()): then all wait anew. What
-- is stored has not been removed: who deletes it may have begun already, and see no time yet
-- that he had to take back.
CREATE OR REPLACE FUNCTION relpack.blobs_stamp()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $$
DECLARE
    v_begun timestamptz;
    v_triggers text;
BEGIN
    IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
        RAISE EXCEPTION 'this transaction has written: what it removed is not committed yet'
            USING ERRCODE = 'RP002', HINT = 'Call relpack.blobs_stamp() in a transaction of its own.';
    END IF;
    PERFORM relpack.require_pack_lock(history => true);
    -- Asked first: what is done to them from here on, relpack.blobs_next() finds out.
    v_triggers := relpack.trigger_identity();
    IF (SELECT stamped_triggers FROM relpack.storage) IS DISTINCT FROM v_triggers THEN
        UPDATE relpack.blob_removal SET since = NULL WHERE since IS NOT NULL;
        UPDATE relpack.storage SET stamped_triggers = v_triggers;
    END IF;
    PERFORM pg_stat_clear_snapshot();
    v_begun := (SELECT max(xact_start) FROM pg_stat_activity WHERE datname = current_database());
    UPDATE relpack.blob_removal AS removal
    SET since = greatest(clock_timestamp(), v_begun)
    WHERE removal.since IS NULL
      AND NOT EXISTS (
          SELECT FROM relpack.stored()
          WHERE stored.zoid = removal.zoid AND stored.tid BETWEEN removal.tid AND removal.tid
          OFFSET 0);
END;
$$;

COMMENT ON FUNCTION relpack.blobs_stamp() IS
    'Notes that what is listed in relpack.blob_removal of a history-preserving storage was removed before now. '
    'Where relpack''s triggers were off since, it notes that of all anew. relpack.blobs_next() lets files go that no open '
    'transaction can have seen. Raises RP002 in a transaction that has written, lock_not_available where somebody deletes what '
    'is listed.';
