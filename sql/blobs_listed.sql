-- Who begins from here on saw nothing of what a list says, if nobody puts a row back. The
-- clock may have been set back: who is there now has begun before. A capture takes the
-- events that tell of rows that were put back, and leaves another row version.
CREATE OR REPLACE FUNCTION relpack.blobs_listed(OUT listed timestamptz, OUT version text)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_pack_lock();
    PERFORM pg_stat_clear_snapshot();
    listed := greatest(clock_timestamp(), (SELECT max(xact_start) FROM pg_stat_activity WHERE datname = current_database()));
    version := (SELECT storage.xmin::text FROM relpack.storage);
END;
$$;

COMMENT ON FUNCTION relpack.blobs_listed() IS
    'For relpack.blobs_orphaned(): when files were judged, for the first time, after the last capture. '
    'listed: no transaction that begins from here on began before; version: of the row of relpack.storage.';
