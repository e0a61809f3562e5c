-- As relpack.blobs_next(), for files that no list names: what was judged before is
-- judged again while no writer is in flight.
CREATE OR REPLACE FUNCTION relpack.blobs_orphaned(
    zoids bigint[], tids bigint[], until bigint,
    OUT zoid bigint, OUT tid bigint, OUT newest_zoid bigint)
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
    PERFORM set_config('idle_in_transaction_session_timeout', '2s', true),
            set_config('synchronous_commit', 'local', true);
    RETURN QUERY
    SELECT judged.zoid, judged.tid, (SELECT max(newest.zoid) FROM relpack.stored() AS newest)
    FROM relpack.blobs_judge(zoids, tids) AS judged
    WHERE judged.verdict IN ('superseded', 'gone') AND judged.since <= until
    ORDER BY judged.zoid, judged.tid;
END;
$$;

COMMENT ON FUNCTION relpack.blobs_orphaned(bigint[], bigint[], bigint) IS
    'Which of these revisions of blobs nobody needs, and were superseded, or written if they are gone, up to a tid. '
    'Takes the writers'' lock until the transaction ends, which commits locally, or raises lock_not_available. '
    'Their files may go until then, if no transaction is open that began before they were judged for the first time.';
