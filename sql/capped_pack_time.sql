-- What another client holds in memory since its transaction began must not be
-- deleted under it.
CREATE OR REPLACE FUNCTION relpack.capped_pack_time(pack_time timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pack_time IS NULL OR pack_time = 'infinity' THEN
        RETURN pack_time;
    END IF;
    RETURN least(pack_time, clock_timestamp(), relpack.grace_oldest_transaction());
END;
$$;

COMMENT ON FUNCTION relpack.capped_pack_time(timestamptz) IS
    'The pack time, but no later than now and than the start of the oldest open transaction of other clients of this '
    'database. NULL and infinity mean "up to the last commit" and are not capped.';
