-- What is to be said of files in a blob directory, by the rows and the graph. Only
-- a file whose object has a later revision, or is not stored at all, may be one
-- that nobody needs. A file of an object that live ones refer to although its row
-- vanished is needed when the row is put back. Later tids than those stored come
-- with an older backup, or from another storage; from another one comes a file of
-- an object that is no blob.
CREATE OR REPLACE FUNCTION relpack.blobs_judge(
    zoids bigint[], tids bigint[],
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
    v_highest bigint;
    v_settled boolean := (
        SELECT storage.graph = 'current' AND NOT EXISTS (SELECT FROM relpack.suspect)
        FROM relpack.storage);
BEGIN
    PERFORM relpack.lock_storage();
    v_highest := (SELECT max(newest.tid) FROM relpack.stored() AS newest);
    RETURN QUERY
    SELECT file.zoid, file.tid,
           CASE
           WHEN stored.tid = file.tid THEN 'stored'
           WHEN v_highest IS NULL OR file.tid > v_highest THEN 'above'
           WHEN stored.tid < file.tid THEN 'newer'
           WHEN stored.tid > file.tid THEN
               CASE WHEN NOT v_settled OR object.class IS NULL THEN 'unjudged' WHEN object.class = 1 THEN 'superseded' ELSE 'foreign' END
           WHEN EXISTS (
               SELECT
               FROM relpack.object_inref
               JOIN relpack.object AS holder ON holder.zoid = object_inref.inref
               WHERE object_inref.zoid = file.zoid AND holder.parent IS NOT NULL) THEN 'missing'
           WHEN EXISTS (
               SELECT
               FROM relpack.blob_removal AS removal
               WHERE removal.zoid = file.zoid AND removal.tid = file.tid) THEN 'listed'
           WHEN NOT v_settled THEN 'unjudged'
           ELSE 'gone'
           END,
           coalesce(stored.tid, file.tid)
    FROM unnest(zoids, tids) AS file (zoid, tid)
    LEFT JOIN LATERAL (
        SELECT latest.tid FROM relpack.stored() AS latest WHERE latest.zoid = file.zoid OFFSET 0
    ) AS stored ON true
    LEFT JOIN LATERAL (
        SELECT node.class FROM relpack.object AS node WHERE node.zoid = file.zoid OFFSET 0
    ) AS object ON true;
END;
$$;

COMMENT ON FUNCTION relpack.blobs_judge(bigint[], bigint[]) IS
    'What is to be said of the files of these revisions of blobs. verdict: '
    'stored: the row has this tid; superseded: the row has a later one, since; gone: there is no row; '
    'unjudged: a pack has to look first; foreign: the object is no blob; '
    'missing: there is none, but live objects refer to it; listed: in relpack.blob_removal; '
    'newer: the row has an earlier tid; above: no row of the storage is as late.';
