-- Whether a transaction began after states were read is seen by its start
-- (relpack.grace_cap). Those that are open began before, and if the clock was
-- set back since, it is earlier than their start.
CREATE OR REPLACE FUNCTION relpack.capture_read_until()
RETURNS timestamptz
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- See relpack.grace_oldest_transaction().
    PERFORM pg_stat_clear_snapshot();
    RETURN greatest(
        clock_timestamp(),
        (SELECT max(xact_start) FROM pg_stat_activity WHERE datname = current_database()));
END;
$$;

COMMENT ON FUNCTION relpack.capture_read_until() IS
    'The moment for relpack.capture when states have just been read: now, and not before any open transaction began.';
