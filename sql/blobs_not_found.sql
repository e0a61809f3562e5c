-- Not found is not removed: the directory may be another one, laid out
-- otherwise, or not mounted. It is trusted where the file of a live blob lies
-- where it should, or where there is no live blob to look for. What is not there then may
-- come back all the same, with a part of the directory that is a mount of its own, and
-- stays listed. zodbpack removes its files itself, and a pack may be killed between a file
-- and its commit: without an end the list would grow for ever.
CREATE OR REPLACE FUNCTION relpack.blobs_not_found(
    zoids bigint[], tids bigint[], found_zoids bigint[], found_tids bigint[])
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
AS $$
DECLARE
    v_struck bigint;
BEGIN
    PERFORM relpack.require_pack_lock();
    LOCK TABLE public.object_state IN ACCESS SHARE MODE;
    IF cardinality(found_zoids) = 0 THEN
        IF EXISTS (SELECT FROM relpack.live_blobs(1)) THEN
            RETURN 0;
        END IF;
    ELSIF relpack.keeps_history() THEN
        IF NOT EXISTS (
            SELECT
            FROM unnest(found_zoids, found_tids) AS found (zoid, tid)
            JOIN relpack.current_blobs(found_zoids) AS known ON known.zoid = found.zoid AND known.tid = found.tid) THEN
            RETURN 0;
        END IF;
    ELSIF NOT EXISTS (
        SELECT
        FROM unnest(found_zoids, found_tids) AS found (zoid, tid)
        JOIN relpack.stored() ON stored.zoid = found.zoid AND stored.tid BETWEEN found.tid AND found.tid
        JOIN relpack.object ON object.zoid = found.zoid
        WHERE object.class = 1 AND object.parent IS NOT NULL) THEN
        RETURN 0;
    END IF;
    UPDATE relpack.blob_removal AS removal
    SET missed = clock_timestamp()
    FROM unnest(zoids, tids) AS gone (zoid, tid)
    WHERE removal.zoid = gone.zoid AND removal.tid = gone.tid AND removal.missed IS NULL;
    DELETE FROM relpack.blob_removal AS removal
    USING unnest(zoids, tids) AS gone (zoid, tid)
    WHERE removal.zoid = gone.zoid AND removal.tid = gone.tid AND removal.missed < clock_timestamp() - interval '30 days';
    GET DIAGNOSTICS v_struck = ROW_COUNT;
    RETURN v_struck;
END;
$$;

COMMENT ON FUNCTION relpack.blobs_not_found(bigint[], bigint[], bigint[], bigint[]) IS
    'Notes in relpack.blob_removal that the files of these blobs are not in the blob directory, and strikes off what was '
    'missed for 30 days: only if one of those found '
    'there is a reachable blob as it is stored now, or if none was found and no blob is reachable. '
    'Returns how many rows were struck off.';
