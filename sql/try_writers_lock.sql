-- The writers' lock, exclusively, until the transaction ends: no write to
-- object_state is in flight. Tried and never queued for, since a waiting
-- exclusive request makes every later writer wait behind it. On a storage so
-- busy that some writer always has it, we line up once for RelStorage's own
-- commit lock, as a committer does, and try while nobody else can commit; for
-- less than deadlock_timeout, so that the victim of a deadlock is never the
-- application.
CREATE OR REPLACE FUNCTION relpack.try_writers_lock(patience interval DEFAULT '200 ms')
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = 0
AS $$
DECLARE
    v_until timestamptz := clock_timestamp() + patience;
BEGIN
    LOOP
        IF pg_try_advisory_xact_lock(1919249520, 1) THEN
            RETURN true;
        END IF;
        EXIT WHEN clock_timestamp() >= v_until;
        PERFORM pg_sleep(0.002);
    END LOOP;
    IF relpack.lock_protocol() = 'advisory' THEN
        PERFORM set_config(
            'lock_timeout',
            ceil(extract(epoch FROM least(patience, current_setting('deadlock_timeout')::interval / 2)) * 1000)::text,
            true);
        BEGIN
            PERFORM pg_advisory_xact_lock(-1);
            v_until := clock_timestamp() + interval '30 ms';
            LOOP
                IF pg_try_advisory_xact_lock(1919249520, 1) THEN
                    RETURN true;
                END IF;
                IF clock_timestamp() >= v_until THEN
                    -- Rolls back to the BEGIN above: the commit lock is released.
                    RAISE EXCEPTION USING ERRCODE = 'lock_not_available';
                END IF;
                PERFORM pg_sleep(0.001);
            END LOOP;
        EXCEPTION
            WHEN lock_not_available THEN
                NULL;
        END;
    END IF;
    RETURN false;
END;
$$;

COMMENT ON FUNCTION relpack.try_writers_lock(interval) IS
    'Tries for the given time to get the writers'' lock exclusively, until the transaction ends. False: some transaction is writing to object_state all the time; relpack.writer shows them.';
