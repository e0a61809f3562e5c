CREATE OR REPLACE FUNCTION relpack.trim_end(
    run bigint, until_tid bigint, revisions bigint, bytes bigint, transactions bigint,
    oldest_tid bigint DEFAULT NULL, history jsonb DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_packer_alive(pg_backend_pid());
    -- Without a graph nobody reports what is restored.
    UPDATE relpack.storage
    SET trimmed_tid = greatest(storage.trimmed_tid, until_tid),
        oldest_tid = CASE WHEN graph = 'current' THEN coalesce(trim_end.oldest_tid, 0) ELSE 0 END;
    UPDATE relpack.run
    SET revisions = trim_end.revisions,
        revision_bytes = trim_end.bytes,
        transactions = trim_end.transactions,
        trimmed_until = CASE WHEN trim_end.until_tid > 0 THEN relpack.tid_to_time(trim_end.until_tid) END,
        oldest = relpack.tid_to_time(trim_end.oldest_tid),
        history = trim_end.history
    WHERE id = trim_end.run;
END;
$$;

COMMENT ON FUNCTION relpack.trim_end(bigint, bigint, bigint, bigint, bigint, bigint, jsonb) IS
    'Notes in relpack.run what a trim has removed, and in relpack.storage up to which tid all of it was trimmed (NULL: it '
    'was not finished); oldest_tid: relpack.oldest_kept(); history: revisions that went, or would, by class. For the session that '
    'holds the pack lock.';
