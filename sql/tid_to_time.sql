-- The moment a transaction id stands for. ZODB counts minutes since 1900 in
-- months of 31 days in the high half, and sixtieths of a minute in the low half.
-- Added without a time zone: with one, a day has 23 or 25 hours where clocks change.
-- A body that is parsed on creation needs no search_path, and can be inlined
-- into views over many rows.
CREATE OR REPLACE FUNCTION relpack.tid_to_time(tid bigint)
RETURNS timestamptz
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN (make_timestamp(((tid >> 32) / 535680 + 1900)::int, ((tid >> 32) / 44640 % 12 + 1)::int, 1, 0, 0, 0)
        + make_interval(days => ((tid >> 32) / 1440 % 31)::int,
                        hours => ((tid >> 32) / 60 % 24)::int,
                        mins => ((tid >> 32) % 60)::int,
                        secs => (tid & 4294967295) * 60.0 / 4294967296.0))
       AT TIME ZONE 'UTC';

COMMENT ON FUNCTION relpack.tid_to_time(bigint) IS
    'The moment a transaction id stands for. Example: SELECT relpack.tid_to_time(max(tid)) FROM object_state;';
