-- As relpack.blobs_next(), for files that no list names: what was judged before is
-- judged again while no writer is in flight, and goes only if the answer is the same.
-- What a stored revision superseded goes, whose file shows that directory and database
-- belong together. Rows that are gone come back with a backup, with another timeline, from
-- a copy: their files would not. So files of objects that are gone go only if somebody
-- says so, who calls them gone, and if no row is known to be lost. Of a stored revision a
-- second file goes, in the layout that the directory has not.
-- In a history-preserving storage that is a file of a revision without a row. When its
-- row went nobody knows, and undo copies the files of those that have one. Who has an
-- older snapshot may read it still, and who began while a row was put back and deleted
-- again: what was put back since the last capture is an event, up to the watermark.
-- What an undo would look for is found out before the writers' lock is taken, of a long
-- history: what was written up to the watermark meanwhile is an event, and later
-- revisions are few.
-- An hour is what a vote, or an asynchronous standby that takes over, may be behind.
CREATE OR REPLACE FUNCTION relpack.blobs_orphaned(
    zoids bigint[], tids bigint[], sinces bigint[], kinds text[], until bigint, mark jsonb, listed timestamptz, version text,
    given_up bigint DEFAULT 0,
    OUT zoid bigint, OUT tid bigint, OUT kind text, OUT newest_zoid bigint)
RETURNS SETOF record
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $$
DECLARE
    v_history boolean;
    v_watermark bigint;
    v_oldest timestamptz;
    v_reported bigint[];
    v_seen bigint := (SELECT storage.watermark FROM relpack.storage);
    v_named_zoids bigint[];
    v_named_tids bigint[];
BEGIN
    PERFORM relpack.require_pack_lock();
    PERFORM relpack.lock_storage();
    LOCK TABLE public.object_state IN ROW EXCLUSIVE MODE; -- our triggers stay as they are
    PERFORM relpack.require_settled();
    PERFORM relpack.require_blobs_mark(mark);
    IF 'gone' = ANY (kinds) THEN
        PERFORM relpack.require_none_missing(given_up);
    END IF;
    v_history := relpack.keeps_history();
    v_oldest := coalesce(relpack.grace_oldest_transaction(), 'infinity');
    IF v_history THEN
        SELECT array_agg(named.zoid), array_agg(named.tid)
        INTO v_named_zoids, v_named_tids
        FROM relpack.blobs_named(zoids, tids, 0) AS named;
    END IF;
    IF NOT relpack.try_writers_lock() THEN
        RAISE EXCEPTION 'writers are in the way' USING ERRCODE = 'lock_not_available';
    END IF;
    SELECT storage.watermark INTO v_watermark FROM relpack.storage WHERE storage.xmin::text = version AND storage.watermark = v_seen;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'relpack has looked at the storage since the files were listed'
            USING ERRCODE = 'RP002', HINT = 'Run "relpack blobs --remove" again.';
    END IF;
    IF EXISTS (SELECT FROM relpack.write_event AS event WHERE event.kind = 'truncated') THEN
        RAISE EXCEPTION 'object_state was emptied' USING ERRCODE = 'RP002', HINT = 'Run "relpack pack".';
    END IF;
    -- All of them are looked at each time, while nobody writes.
    IF EXISTS (SELECT FROM relpack.write_event OFFSET 100000) THEN
        RAISE EXCEPTION 'many rows were put back since the files were listed'
            USING ERRCODE = 'RP002', HINT = 'Wait for the end of zodbconvert, or of a restore, and run "relpack pack".';
    END IF;
    v_reported := ARRAY(SELECT event.zoid FROM relpack.write_event AS event WHERE event.kind <> 'ahead' AND event.zoid = ANY (zoids));
    -- The files are unlinked before this transaction ends: see relpack.blobs_next().
    PERFORM set_config('idle_in_transaction_session_timeout', '2s', true),
            set_config('synchronous_commit', 'local', true);
    RETURN QUERY
    SELECT judged.zoid, judged.tid, file.kind, (SELECT max(newest.zoid) FROM relpack.stored() AS newest)
    FROM relpack.blobs_judge(zoids, tids, (mark ->> 'cleared')::bigint, v_seen) AS judged
    JOIN unnest(zoids, tids, sinces, kinds) AS file (zoid, tid, since, kind)
      ON file.zoid = judged.zoid AND file.tid = judged.tid AND file.since = judged.since
     AND file.kind = CASE judged.verdict WHEN 'stored' THEN 'duplicate' ELSE judged.verdict END
    WHERE judged.since <= until
      AND judged.since <= relpack.time_to_tid(clock_timestamp() - interval '1 hour')
      AND judged.since <= v_watermark
      AND file.kind IN (CASE WHEN v_history THEN 'unnamed' ELSE 'superseded' END, 'duplicate', 'gone')
      AND judged.zoid <> ALL (v_reported)
      AND (file.kind = 'duplicate'
           OR NOT EXISTS (
               SELECT
               FROM unnest(v_named_zoids, v_named_tids) AS named (zoid, tid)
               WHERE named.zoid = judged.zoid AND named.tid = judged.tid))
      AND listed < v_oldest;
END;
$$;

COMMENT ON FUNCTION relpack.blobs_orphaned(bigint[], bigint[], bigint[], text[], bigint, jsonb, timestamptz, text, bigint) IS
    'Which of these revisions of blobs may lose their files, if that of the stored one is beside them. '
    'They are superseded, or have no row in a history-preserving storage, or are stored and have another file where the '
    'directory''s layout has it (duplicate), or, if somebody says that no such row will be put back, their objects are gone. '
    'Their since is at most until, was an hour ago at least, and before the last capture; '
    'since and kind, its verdict, are still what relpack.blobs_judge() said before. mark: the file .relpack in the directory. '
    'listed, version: what relpack.blobs_listed() said after that. None goes if a transaction is open that began before, nor '
    'one of an object that an event names since; RP002 if relpack has captured changes since, and for what is gone as '
    'relpack.require_none_missing(given_up) says. newest_zoid: the highest one that is stored. '
    'Takes the writers'' lock until the transaction ends, which commits locally, or raises lock_not_available. '
    'Their files may go until then.';
