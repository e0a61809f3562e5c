-- The first transaction id of a moment; the inverse of relpack.tid_to_time. In
-- PL/pgSQL, which keeps what it has parsed from one call to the next.
CREATE OR REPLACE FUNCTION relpack.time_to_tid(moment timestamptz)
RETURNS bigint
LANGUAGE plpgsql
IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_utc timestamp := moment AT TIME ZONE 'UTC';
BEGIN
    RETURN CASE
        WHEN v_utc >= '5908-01-01' THEN 9223372036854775807 -- later ones don't fit
        WHEN v_utc < '1900-01-01' THEN 0
        ELSE (((((extract(year FROM v_utc)::bigint - 1900) * 12
                 + extract(month FROM v_utc)::bigint - 1) * 31
                + extract(day FROM v_utc)::bigint - 1) * 24
               + extract(hour FROM v_utc)::bigint) * 60
              + extract(minute FROM v_utc)::bigint << 32)
             + floor(extract(second FROM v_utc) * 4294967296.0 / 60.0)::bigint
        END;
END;
$$;

COMMENT ON FUNCTION relpack.time_to_tid(timestamptz) IS
    'The first transaction id of a moment: objects with a tid up to it were written before. '
    'infinity gives the highest tid. Example: SELECT relpack.time_to_tid(now() - interval ''1 day'');';
