-- What is to be said of files in a blob directory, by the rows and the graph. Only
-- a file whose object has a later revision, or is not stored at all, may be one
-- that nobody needs. A file of an object that others refer to although its row
-- vanished is needed when the row is put back; garbage that refers to it may be attached
-- again until a pack deletes it. Which ones other databases refer to is not known, only
-- whether they do. Where a row vanished since the last capture, or another revision is
-- listed and was not missed yet, a pack has to decide first. Later tids than those stored come
-- with an older backup, or from another storage; from another one comes a file of
-- an object that is no blob, or of an oid that was never given out here. Where the
-- rows were replaced, the former ones may come back: a load into the wrong storage is
-- noticed within a month. What was superseded before the directory was last cleared
-- did not lie there then; of files of objects that are gone that is not known. A tid
-- of the future is no measure of others. In a history-preserving storage a revision needs
-- its file as long as it has a row, or as an undo would look for the row. Each look is one
-- by a key, whatever is guessed of how many rows there are: it may be made while writers
-- wait.
CREATE OR REPLACE FUNCTION relpack.blobs_judge(
    zoids bigint[], tids bigint[], cleared bigint, named_after bigint DEFAULT 0,
    OUT zoid bigint, OUT tid bigint, OUT verdict text, OUT since bigint)
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
    v_now bigint := relpack.time_to_tid(clock_timestamp());
    v_highest bigint;
    v_history boolean;
    v_settled boolean;
    v_replaced bigint;
    v_given bigint;
    v_sequence oid := (SELECT oid FROM pg_class WHERE oid = to_regclass('public.zoid_seq') AND relkind = 'S');
    v_referred boolean := EXISTS (SELECT FROM relpack.referred_by WHERE refs > 0 OR unreadable > 0 OR looked IS NULL);
BEGIN
    PERFORM relpack.lock_storage();
    v_history := relpack.keeps_history();
    SELECT storage.graph = 'current' AND NOT EXISTS (SELECT FROM relpack.suspect),
           CASE WHEN storage.replaced > clock_timestamp() - interval '30 days' THEN relpack.time_to_tid(storage.replaced) ELSE 0 END
    INTO STRICT v_settled, v_replaced
    FROM relpack.storage;
    v_highest := (SELECT max(newest.tid) FROM relpack.stored() AS newest WHERE newest.tid <= v_now);
    IF has_sequence_privilege(v_sequence, 'USAGE') OR has_sequence_privilege(v_sequence, 'SELECT') THEN
        -- RelStorage takes 16 oids for each value (relstorage/adapters/oidallocator.py).
        v_given := pg_sequence_last_value(v_sequence) * 16;
    END IF;
    RETURN QUERY
    SELECT file.zoid, file.tid,
           CASE
           WHEN stored.tid = file.tid THEN 'stored'
           WHEN v_highest IS NULL OR file.tid > v_highest THEN 'above'
           WHEN stored.tid < file.tid THEN 'newer'
           WHEN stored.tid > file.tid THEN
               CASE
               WHEN v_history AND EXISTS (
                   SELECT FROM relpack.blob_removal AS removal WHERE removal.zoid = file.zoid AND removal.tid = file.tid) THEN 'listed'
               WHEN object.blob IS NULL THEN 'unjudged'
               WHEN NOT object.blob THEN 'foreign'
               WHEN file.tid <= v_replaced THEN 'replaced'
               WHEN ((file.zoid, file.tid) IN (
                   SELECT named.zoid, named.tid
                   FROM relpack.blobs_named(zoids, tids, named_after) AS named
                   WHERE v_history)) IS TRUE THEN 'missing'
               WHEN v_history THEN 'unnamed'
               WHEN stored.tid <= cleared THEN 'arrived'
               ELSE 'superseded'
               END
           WHEN EXISTS (SELECT FROM relpack.object_inref WHERE object_inref.zoid = file.zoid) THEN 'missing'
           WHEN (
               SELECT true
               FROM relpack.blob_removal AS removal
               WHERE removal.zoid = file.zoid AND removal.tid = file.tid) THEN 'listed'
           WHEN file.zoid > v_given THEN 'beyond'
           WHEN NOT v_settled
                OR EXISTS (SELECT FROM relpack.object AS node WHERE node.zoid = file.zoid)
                OR EXISTS (
                    SELECT FROM relpack.blob_removal AS removal WHERE removal.zoid = file.zoid AND removal.missed IS NULL) THEN 'unjudged'
           WHEN v_referred THEN 'referred'
           WHEN file.tid <= v_replaced THEN 'replaced'
           ELSE 'gone'
           END,
           coalesce(stored.tid, file.tid)
    FROM unnest(zoids, tids) AS file (zoid, tid)
    -- Of several revisions the one that is named, the next one, or else the newest.
    CROSS JOIN LATERAL (
        SELECT coalesce(
            (SELECT min(later.tid) FROM relpack.stored() AS later WHERE later.zoid = file.zoid AND later.tid >= file.tid),
            (SELECT max(latest.tid) FROM relpack.stored() AS latest WHERE latest.zoid = file.zoid)) AS tid
        OFFSET 0
    ) AS stored
    -- Where garbage stays there is no graph.
    CROSS JOIN LATERAL (
        SELECT coalesce(
            (SELECT node.class = 1 FROM relpack.object AS node WHERE node.zoid = file.zoid AND v_settled),
            (SELECT relpack.names_blob(next.state)
             FROM relpack.stored() AS next
             WHERE next.zoid = file.zoid AND next.tid BETWEEN stored.tid AND stored.tid AND v_history)) AS blob
        OFFSET 0
    ) AS object;
END;
$$;

COMMENT ON FUNCTION relpack.blobs_judge(bigint[], bigint[], bigint, bigint) IS
    'What is to be said of the files of these revisions of blobs. '
    'cleared: up to which tid superseded revisions were removed before (relpack.blobs_mark); 0: never. '
    'named_after: undos of later transactions only are asked about (missing). verdict: '
    'stored: the row has this tid; superseded: the row has a later one, since; unnamed: in a history-preserving storage, no '
    'row has this tid, but one a later one, since; gone: there is no row, and since is its own tid; '
    'unjudged: a pack has to look first; foreign: the object is no blob; '
    'referred: there is no row, but other databases refer to this one, or may; '
    'missing: there is none, but objects refer to it, or in a history-preserving storage an undo would look for it; '
    'listed: in relpack.blob_removal; '
    'replaced: superseded or gone, but written before object_state was last replaced, within 30 days; '
    'arrived: superseded up to cleared; '
    'beyond: there is no row, and RelStorage has not given out the object id (zoid_seq); '
    'newer: the row has an earlier tid; above: no row that is not of the future is as late.';
