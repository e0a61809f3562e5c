-- A pack that finds nothing new is to cost what it does where no history is kept: this is
-- asked instead of all that a trim would look at. Time goes on, and the pack time with it:
-- where nothing was written between the last one and this one, the history is trimmed up to
-- this one as well.
CREATE OR REPLACE FUNCTION relpack.trimmed(until_tid bigint)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    v_since bigint;
BEGIN
    PERFORM relpack.trim_held();
    PERFORM relpack.lock_storage(history => true);
    IF (until_tid <= (SELECT max(tid) FROM public.transaction)) IS NOT TRUE THEN
        RAISE EXCEPTION 'transaction % is later than the newest one', coalesce(until_tid::text, 'NULL') USING ERRCODE = 'RP002';
    END IF;
    v_since := relpack.trim_since();
    IF v_since = 0
       OR current_setting('relpack.settling', true) IS DISTINCT FROM 'settled'
       OR EXISTS (SELECT FROM relpack.to_trim)
       OR EXISTS (SELECT FROM relpack.stored() WHERE stored.tid > v_since AND stored.tid <= until_tid)
       OR relpack.trim_undoable(until_tid) THEN
        RETURN false;
    END IF;
    UPDATE relpack.storage
    SET cleared_tid = greatest(cleared_tid, least(until_tid, watermark)),
        marked_tid = relpack.trim_marks(until_tid)
    WHERE cleared_tid < least(until_tid, watermark);
    RETURN true;
END;
$$;

COMMENT ON FUNCTION relpack.trimmed(bigint) IS
    'Whether a trim up to until_tid would find nothing to do. One came to its end, nothing was written between that pack time '
    'and this one, all transactions up to there are marked as packed, and no reason is known to go through all objects '
    '(relpack.trim_since()). Then this counts as relpack.trim_cleared(). Raises RP002 when until_tid is later than the newest '
    'transaction. For the session that holds the pack lock, after relpack.trim_settle().';
