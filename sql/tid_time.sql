-- The moment a transaction id stands for. ZODB counts minutes since 1900 in
-- months of 31 days in the high half, and sixtieths of a minute in the low half.
CREATE OR REPLACE FUNCTION relpack.tid_time(tid bigint)
RETURNS timestamptz
LANGUAGE sql
IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT make_timestamp((minute / 535680 + 1900)::int, (minute / 44640 % 12 + 1)::int, 1, 0, 0, 0)
               AT TIME ZONE 'UTC'
           + make_interval(days => (minute / 1440 % 31)::int,
                           hours => (minute / 60 % 24)::int,
                           mins => (minute % 60)::int,
                           secs => (tid & 4294967295) * 60.0 / 4294967296.0)
    FROM (SELECT tid >> 32 AS minute) AS since_1900;
$$;

COMMENT ON FUNCTION relpack.tid_time(bigint) IS
    'The moment a transaction id stands for. Example: SELECT relpack.tid_time(max(tid)) FROM object_state;';
