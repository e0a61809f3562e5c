-- On a site so busy that some writer always has the writers' lock, we line up
-- once for RelStorage's own commit lock, as a committer does, and try while nobody
-- else can commit. Never with rows locked: whoever has the commit lock may wait
-- for one of them, has begun to wait before us, and would be the deadlock's victim.
CREATE OR REPLACE FUNCTION relpack.line_up(patience interval DEFAULT '200 ms')
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = 0
AS $$
DECLARE
    v_until timestamptz;
BEGIN
    IF relpack.lock_protocol() <> 'advisory' THEN
        RETURN false;
    END IF;
    PERFORM set_config(
        'lock_timeout',
        -- 0 would be: without end.
        greatest(1, ceil(extract(epoch FROM least(patience, current_setting('deadlock_timeout')::interval / 2)) * 1000))::text,
        true);
    PERFORM pg_advisory_xact_lock(-1);
    v_until := clock_timestamp() + interval '30 ms';
    WHILE NOT pg_try_advisory_xact_lock(1919249520, 1) LOOP
        IF clock_timestamp() >= v_until THEN
            -- Rolls back to before the call: the commit lock is released.
            RAISE EXCEPTION USING ERRCODE = 'lock_not_available';
        END IF;
        PERFORM pg_sleep(0.001);
    END LOOP;
    PERFORM relpack.commit_locally();
    RETURN true;
EXCEPTION
    WHEN lock_not_available THEN
        RETURN false;
END;
$$;

COMMENT ON FUNCTION relpack.line_up(interval) IS
    'Waits for RelStorage''s commit lock for so long at most, and takes the writers'' lock exclusively while it has '
    'that: both until the transaction ends, or neither (false). '
    'Storages before RelStorage 3.5 have another commit lock: false.';
