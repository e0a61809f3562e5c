-- What may be deleted, as a tid. A commit gets its tid before it becomes
-- visible: of a transaction that began in between, its start does not tell
-- whether it saw what was cut off attached. That it began after the states
-- were read does. Where none is open nothing is held, and a clock that was set
-- back doesn't matter. What is younger than the last look at another storage may
-- be referred to there by now. What another one has ceased to refer to was in use
-- until then: nothing of it goes before the grace is over, while a transaction is
-- open that began before, or without a look at the others since.
CREATE OR REPLACE FUNCTION relpack.grace_cap(pack_time timestamptz)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_until timestamptz := coalesce(pack_time, 'infinity');
    v_oldest timestamptz;
    v_looked timestamptz := (SELECT min(looked) FROM relpack.referred_by);
BEGIN
    IF v_until < 'infinity' THEN
        v_oldest := relpack.grace_oldest_transaction();
        v_until := least(v_until, clock_timestamp(), v_oldest);
    END IF;
    IF least(v_until, v_looked) <= (SELECT unreferred FROM relpack.storage) THEN
        RETURN 0;
    END IF;
    RETURN greatest(0, least(
        relpack.time_to_tid(v_until),
        CASE WHEN v_looked < 'infinity' THEN relpack.time_to_tid(v_looked) - 1 END,
        (SELECT min(capture.watermark) - 1
         FROM relpack.capture
         WHERE capture.read_until >= v_oldest)));
END;
$$;

COMMENT ON FUNCTION relpack.grace_cap(timestamptz) IS
    'Up to which tid a pack with this pack time deletes. '
    'That is the tid of relpack.capped_pack_time(), but less than that of any capture whose states were read after '
    'the oldest open transaction of other clients began, and less than that of the last look at any storage in '
    'relpack.referred_by. '
    '0 where another storage has ceased to refer to this one no earlier than that.';
