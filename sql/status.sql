CREATE OR REPLACE FUNCTION relpack.status(
    OUT graph text, OUT doubt text, OUT applied_tid bigint, OUT applied_until timestamptz,
    OUT objects bigint, OUT inrefs bigint,
    OUT unreachable bigint, OUT unreachable_bytes bigint,
    OUT within_grace bigint, OUT within_grace_bytes bigint,
    OUT doomed bigint, OUT blob_removals bigint, OUT blobs_missed bigint, OUT problems bigint, OUT blocking_problems bigint,
    OUT missing bigint, OUT dangling bigint,
    OUT bytes bigint, OUT last_pack timestamptz, OUT verified_since timestamptz)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    v_day_ago bigint := (
        SELECT CASE WHEN unreferred > now() - interval '24 hours' THEN -1 ELSE relpack.time_to_tid(now() - interval '24 hours') END
        FROM relpack.storage);
BEGIN
    SELECT storage.graph,
           CASE WHEN storage.graph IN ('current', 'doubtful') THEN relpack.doubt() END,
           nullif(storage.applied_tid, 0),
           relpack.tid_to_time(nullif(storage.applied_tid, 0)),
           storage.objects - (SELECT count(*) FROM relpack.missing), storage.inrefs
    INTO graph, doubt, applied_tid, applied_until, objects, inrefs
    FROM relpack.storage;
    -- While a graph is built, nodes without a parent mean nothing.
    IF graph IN ('current', 'doubtful') THEN
        SELECT count(*), coalesce(sum(detached.size), 0),
               count(*) FILTER (WHERE detached.since > v_day_ago),
               coalesce(sum(detached.size) FILTER (WHERE detached.since > v_day_ago), 0)
        INTO unreachable, unreachable_bytes, within_grace, within_grace_bytes
        FROM relpack.detached;
    END IF;
    doomed := (SELECT count(*) FROM relpack.doomed);
    SELECT count(*) FILTER (WHERE blob_removal.missed IS NULL), count(blob_removal.missed)
    INTO blob_removals, blobs_missed
    FROM relpack.blob_removal;
    SELECT count(*) FILTER (WHERE problem.kind <> 'empty'
                              OR (object.parent IS NOT NULL AND NOT (SELECT keeps_history FROM relpack.storage))),
           count(*) FILTER (WHERE problem.blocks AND object.parent IS NOT NULL)
    INTO problems, blocking_problems
    FROM relpack.problem
    LEFT JOIN relpack.object ON object.zoid = problem.zoid;
    missing := (
        SELECT count(*)
        FROM relpack.missing_object AS lost
        WHERE NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = lost.zoid));
    dangling := (
        SELECT count(*)
        FROM relpack.dangling_reference AS lost
        WHERE NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = lost.zoid));
    -- From the catalog: pg_relation_size() would wait for a table that is being
    -- truncated or indexed.
    bytes := (SELECT sum(pg_class.relpages::bigint) * current_setting('block_size')::bigint
              FROM pg_class
              WHERE pg_class.relnamespace = 'relpack'::regnamespace AND pg_class.relkind IN ('r', 'i'));
    IF graph = 'current' THEN
        verified_since := nullif((SELECT min(audited.since) FROM relpack.audited), '-infinity');
    END IF;
    last_pack := (SELECT max(run.finished) FROM relpack.run WHERE run.outcome = 'packed');
END;
$$;

COMMENT ON FUNCTION relpack.status() IS
    'One row: how far the graph describes the storage, and what it found. '
    'doubt: why it may not match the storage. objects, inrefs: of the graph. '
    'unreachable, with bytes of their states; within_grace: those of them that the default grace of one day protects. '
    'doomed: chosen for deletion. blob_removals: blobs whose files wait to be removed; '
    'blobs_missed: others whose files were not in the blob directory. '
    'problems: undecodable objects, of which blocking_problems keep relpack from deleting. '
    'missing, dangling: what live objects refer to and is not stored, rows that vanished and others. '
    'bytes: what relpack''s own tables take. last_pack: when one last ended well. '
    'verified_since: every object has been read again since, and compared with the graph; NULL: never.';
