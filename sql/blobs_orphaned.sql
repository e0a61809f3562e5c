-- As relpack.blobs_next(), for files that no list names: what was judged before is
-- judged again while no writer is in flight, and goes only if the answer is the same.
-- Only what a stored revision superseded goes, whose file shows that directory and
-- database belong together. Rows that are gone come back with a backup, with another
-- timeline, from a copy: their files would not.
-- An hour is what a vote, or an asynchronous standby that takes over, may be behind.
CREATE OR REPLACE FUNCTION relpack.blobs_orphaned(
    zoids bigint[], tids bigint[], sinces bigint[], until bigint, mark jsonb,
    OUT zoid bigint, OUT tid bigint)
RETURNS SETOF record
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $$
BEGIN
    PERFORM relpack.require_pack_lock();
    IF relpack.keeps_history() THEN
        RAISE EXCEPTION 'the storage is history-preserving: nothing tells when a revision was removed'
            USING ERRCODE = 'RP002', HINT = '"relpack pack" removes the files of the revisions that it removes.';
    END IF;
    PERFORM relpack.lock_storage();
    LOCK TABLE public.object_state IN ROW EXCLUSIVE MODE; -- our triggers stay as they are
    PERFORM relpack.require_settled();
    PERFORM relpack.require_blobs_mark(mark);
    IF NOT relpack.try_writers_lock() THEN
        RAISE EXCEPTION 'writers are in the way' USING ERRCODE = 'lock_not_available';
    END IF;
    IF EXISTS (SELECT FROM relpack.write_event WHERE kind = 'truncated') THEN
        RAISE EXCEPTION 'object_state was emptied' USING ERRCODE = 'RP002', HINT = 'Run "relpack pack".';
    END IF;
    -- The files are unlinked before this transaction ends: see relpack.blobs_next().
    PERFORM set_config('idle_in_transaction_session_timeout', '2s', true),
            set_config('synchronous_commit', 'local', true);
    RETURN QUERY
    SELECT judged.zoid, judged.tid
    FROM relpack.blobs_judge(zoids, tids, (mark ->> 'cleared')::bigint) AS judged
    JOIN unnest(zoids, tids, sinces) AS listed (zoid, tid, since)
      ON listed.zoid = judged.zoid AND listed.tid = judged.tid AND listed.since = judged.since
    WHERE judged.since <= until
      AND judged.since <= relpack.time_to_tid(clock_timestamp() - interval '1 hour')
      AND judged.verdict = 'superseded';
END;
$$;

COMMENT ON FUNCTION relpack.blobs_orphaned(bigint[], bigint[], bigint[], bigint, jsonb) IS
    'Which of these revisions of blobs are superseded, so that their files may go if that of the stored one is beside them. '
    'They were superseded up to a tid, and for an hour at least; since is still what '
    'relpack.blobs_judge() said before: the tid of the stored revision. mark: the file .relpack in the directory. '
    'Takes the writers'' lock until the transaction ends, which commits locally, or raises lock_not_available. '
    'Their files may go until then, if no transaction is open that began before they were judged for the first time.';
