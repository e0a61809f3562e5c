-- The first transaction id of a moment; the inverse of relpack.tid_time.
CREATE OR REPLACE FUNCTION relpack.time_tid(moment timestamptz)
RETURNS bigint
LANGUAGE sql
IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN moment = 'infinity' THEN 9223372036854775807
        WHEN utc < '1900-01-01' THEN 0
        ELSE (((((extract(year FROM utc)::bigint - 1900) * 12
                 + extract(month FROM utc)::bigint - 1) * 31
                + extract(day FROM utc)::bigint - 1) * 24
               + extract(hour FROM utc)::bigint) * 60
              + extract(minute FROM utc)::bigint << 32)
             + floor(extract(second FROM utc) * 4294967296.0 / 60.0)::bigint
        END
    FROM (SELECT moment AT TIME ZONE 'UTC' AS utc) AS clock;
$$;

COMMENT ON FUNCTION relpack.time_tid(timestamptz) IS
    'The first transaction id of a moment: objects with a tid up to it were written before. infinity gives the highest tid. Example: SELECT relpack.time_tid(now() - interval ''1 day'');';
