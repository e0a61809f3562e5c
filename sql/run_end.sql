-- A row that a DBA has deleted stays so.
CREATE OR REPLACE FUNCTION relpack.run_end(
    run bigint, outcome text, message text, scanned bigint, unreachable bigint,
    deleted bigint, deleted_bytes bigint, blob_files bigint, blob_bytes bigint,
    large_objects bigint DEFAULT 0, large_object_bytes bigint DEFAULT 0, cut_off jsonb DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_packer_alive(pg_backend_pid());
    UPDATE relpack.run
    SET finished = clock_timestamp(),
        outcome = run_end.outcome,
        message = nullif(run_end.message, ''),
        scanned = run_end.scanned,
        unreachable = run_end.unreachable,
        deleted = run_end.deleted,
        deleted_bytes = run_end.deleted_bytes,
        blob_files = run_end.blob_files,
        blob_bytes = run_end.blob_bytes,
        large_objects = run_end.large_objects,
        large_object_bytes = run_end.large_object_bytes,
        cut_off = run_end.cut_off
    WHERE id = run_end.run;
END;
$$;

COMMENT ON FUNCTION relpack.run_end(bigint, text, text, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, jsonb) IS
    'Completes an entry in relpack.run, for the session that holds the pack lock.';
