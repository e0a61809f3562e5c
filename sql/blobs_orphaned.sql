-- As relpack.blobs_next(), for files that no list names: what was judged before is
-- judged again while no writer is in flight. A later file than what is stored may
-- be of an object that is stored elsewhere: what was superseded after that one was
-- written stays.
CREATE OR REPLACE FUNCTION relpack.blobs_orphaned(
    zoids bigint[], tids bigint[], until bigint, ceiling bigint,
    OUT zoid bigint, OUT tid bigint, OUT stored_tid bigint, OUT newest_zoid bigint)
RETURNS SETOF record
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $$
BEGIN
    PERFORM relpack.require_pack_lock();
    PERFORM relpack.require_settled();
    PERFORM relpack.lock_storage();
    IF NOT relpack.try_writers_lock() THEN
        RAISE EXCEPTION 'writers are in the way' USING ERRCODE = 'lock_not_available';
    END IF;
    -- The files are unlinked before this transaction ends: see relpack.blobs_next().
    PERFORM set_config('idle_in_transaction_session_timeout', '2s', true),
            set_config('synchronous_commit', 'local', true);
    RETURN QUERY
    SELECT judged.zoid, judged.tid,
           CASE WHEN judged.verdict = 'superseded' THEN judged.since END,
           (SELECT max(newest.zoid) FROM relpack.stored() AS newest)
    FROM relpack.blobs_judge(zoids, tids) AS judged
    WHERE judged.verdict IN ('superseded', 'gone') AND judged.since <= until AND judged.since < ceiling;
END;
$$;

COMMENT ON FUNCTION relpack.blobs_orphaned(bigint[], bigint[], bigint, bigint) IS
    'Which of these revisions of blobs nobody needs. '
    'They were superseded (or written, if the object is gone) up to a tid, and before a ceiling: the lowest tid of a file '
    'that is later than what is stored. '
    'stored_tid: of the revision that superseded it, whose file must be there; NULL for an object that is gone. '
    'Takes the writers'' lock until the transaction ends, which commits locally, or raises lock_not_available. '
    'Their files may go until then, if no transaction is open that began before they were judged for the first time.';
