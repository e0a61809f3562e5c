-- A client whose clock was wrong once leaves tids that all later ones exceed. A
-- few minutes are nothing: clocks differ.
CREATE OR REPLACE FUNCTION relpack.tids_ahead()
RETURNS text
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN greatest(storage.clock_tid, storage.noticed_tid) > clock.tid
            THEN format('The clock of the server was ahead when relpack ran: what it found cut off then stays until %s, '
                        'unless --days is negative. "relpack pack --init" forgets that.',
                        relpack.tid_to_time(greatest(storage.clock_tid, storage.noticed_tid))::timestamptz(0))
        WHEN storage.watermark > clock.tid
            THEN format('The highest transaction id is ahead of the server''s clock: it is of %s. The grace of what relpack found cut off '
                        'goes by the clock. Garbage of the first pack that has such an id stays until then, '
                        'unless --days is negative.',
                        relpack.tid_to_time(storage.watermark)::timestamptz(0))
        END
    FROM relpack.storage
    CROSS JOIN (SELECT relpack.time_to_tid(clock_timestamp() + interval '5 minutes') AS tid) AS clock;
$$;

COMMENT ON FUNCTION relpack.tids_ahead() IS
    'Says so when the last capture found transaction ids that are ahead of the server''s clock, or when that was set '
    'back since; else NULL.';
