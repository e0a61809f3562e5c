-- Blob files go while no writer is in flight, a few at a time. An object that
-- is stored again keeps them all: somebody restored it, or a RelStorage up to
-- 2.0 wrote it, whose commits delete a row and insert it again. The file of a
-- node that is attached stays: a live object refers to it, and the row may be put
-- back. In a history-preserving storage each revision counts for itself: one that is
-- stored again keeps its file, and so does one that an open transaction may have seen;
-- who begins from here on sees none of it. object_state comes before the writers' lock,
-- as for everybody who writes: whoever wants the table for himself and then writes
-- (TRUNCATE) would wait for us, and we for him. Without our triggers writers don't take
-- the writers' lock: they are not switched on or off while we hold the table. Where they were
-- since relpack.blobs_stamp(), a row may have been there that somebody saw.
CREATE OR REPLACE FUNCTION relpack.blobs_next(
    zoids bigint[], tids bigint[],
    OUT zoid bigint, OUT tid bigint, OUT newest_zoid bigint)
RETURNS SETOF record
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
AS $$
DECLARE
    v_history boolean;
    v_oldest timestamptz;
BEGIN
    PERFORM relpack.require_pack_lock();
    PERFORM relpack.lock_storage();
    LOCK TABLE public.object_state IN ROW EXCLUSIVE MODE;
    v_history := relpack.keeps_history();
    IF v_history THEN
        v_oldest := coalesce(relpack.grace_oldest_transaction(), 'infinity');
    END IF;
    IF NOT relpack.try_writers_lock() THEN
        RAISE EXCEPTION 'writers are in the way' USING ERRCODE = 'lock_not_available';
    END IF;
    IF EXISTS (SELECT FROM relpack.missing_trigger()) THEN
        RAISE EXCEPTION 'triggers of relpack are missing or disabled: %: a row may be put back whose file is to go',
                        (SELECT string_agg(name, ', ') FROM relpack.missing_trigger() AS gone (name))
            USING ERRCODE = 'RP002', HINT = 'Run "relpack migrate up".';
    END IF;
    IF v_history AND (SELECT stamped_triggers FROM relpack.storage) NOT IN ('', relpack.trigger_identity()) THEN
        RAISE EXCEPTION 'relpack''s triggers or its schema were changed a moment ago: who has seen blobs meanwhile is not known'
            USING ERRCODE = 'RP002', HINT = 'No file was removed. Run "relpack pack" again.';
    END IF;
    -- The files are unlinked before this transaction ends: a client that stops
    -- there must not hold the site, nor a standby that does not answer. What
    -- this transaction says is only that files are gone.
    PERFORM set_config('idle_in_transaction_session_timeout', '2s', true),
            set_config('synchronous_commit', 'local', true);
    IF v_history THEN
        DELETE FROM relpack.blob_removal AS removal
        USING unnest(zoids, tids) AS listed (zoid, tid), relpack.stored()
        WHERE removal.zoid = listed.zoid AND removal.tid = listed.tid
          AND stored.zoid = listed.zoid AND stored.tid BETWEEN listed.tid AND listed.tid;
    ELSE
        DELETE FROM relpack.blob_removal AS removal
        USING unnest(zoids) AS listed (zoid), relpack.stored()
        WHERE removal.zoid = listed.zoid AND stored.zoid = listed.zoid;
    END IF;
    RETURN QUERY
    SELECT removal.zoid, removal.tid, (SELECT max(newest.zoid) FROM relpack.stored() AS newest)
    FROM unnest(zoids, tids) AS listed (zoid, tid)
    JOIN relpack.blob_removal AS removal ON removal.zoid = listed.zoid AND removal.tid = listed.tid
    WHERE (NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = removal.zoid AND object.parent IS NOT NULL)
           OR (v_history AND EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = removal.zoid)))
      AND (NOT v_history OR removal.since < v_oldest)
    ORDER BY removal.zoid, removal.tid;
END;
$$;

COMMENT ON FUNCTION relpack.blobs_next(bigint[], bigint[]) IS
    'Which of these blobs of relpack.blob_removal may lose their files. '
    'Takes the writers'' lock until the transaction ends, which commits locally, or raises lock_not_available. '
    'Rows whose object is stored again are dropped, those whose object a live one refers to are left out; in a '
    'history-preserving storage rows whose revision is stored again, and those that an open transaction may still read '
    '(relpack.blobs_stamp), or whose object has no revision left though a live one refers to it. '
    'relpack.blobs_removed() follows in the same transaction.';
