-- Historical connections keep a transaction open for hours and read what is removed
-- meanwhile. Who began after a removal was committed sees none of it; that is a later
-- time than the one when the row was deleted. The clock may have been set back since: who
-- is there now has begun before.
CREATE OR REPLACE FUNCTION relpack.blobs_stamp()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_begun timestamptz;
BEGIN
    IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
        RAISE EXCEPTION 'this transaction has written: what it removed is not committed yet'
            USING ERRCODE = 'RP002', HINT = 'Call relpack.blobs_stamp() in a transaction of its own.';
    END IF;
    PERFORM relpack.require_pack_lock(history => true);
    PERFORM pg_stat_clear_snapshot();
    v_begun := (SELECT max(xact_start) FROM pg_stat_activity WHERE datname = current_database());
    UPDATE relpack.blob_removal SET since = greatest(clock_timestamp(), v_begun) WHERE since IS NULL;
END;
$$;

COMMENT ON FUNCTION relpack.blobs_stamp() IS
    'Notes in relpack.blob_removal of a history-preserving storage that what is listed there was removed before now. '
    'relpack.blobs_next() lets files go that no open transaction can have seen. Raises RP002 in a transaction that has '
    'written.';
