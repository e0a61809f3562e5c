-- What may be deleted, as a tid. A commit gets its tid before it becomes
-- visible: of a transaction that began in between, its start does not tell
-- whether it saw what was cut off attached. That it began after the states
-- were read does. Where none is open nothing is held, and a clock that was set
-- back doesn't matter.
CREATE OR REPLACE FUNCTION relpack.capped_tid(pack_time timestamptz)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_oldest timestamptz;
BEGIN
    IF pack_time IS NULL OR pack_time = 'infinity' THEN
        RETURN relpack.time_tid('infinity');
    END IF;
    v_oldest := relpack.oldest_transaction();
    RETURN greatest(0, least(
        relpack.time_tid(least(pack_time, clock_timestamp(), v_oldest)),
        (SELECT min(capture.watermark) - 1
         FROM relpack.capture
         WHERE capture.read_until >= v_oldest)));
END;
$$;

COMMENT ON FUNCTION relpack.capped_tid(timestamptz) IS
    'Up to which tid a pack with this pack time deletes: that of relpack.capped_pack_time(), and less than that of any capture whose states were read after the oldest open transaction of other clients began.';
