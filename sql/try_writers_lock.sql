-- The writers' lock, exclusively, until the transaction ends: no write to
-- object_state is in flight. Tried and never queued for, since a waiting
-- exclusive request makes every later writer wait behind it. With rows locked
-- there is somebody to give way to while we try, and no other lock is waited for.
CREATE OR REPLACE FUNCTION relpack.try_writers_lock(
    patience interval DEFAULT '200 ms', rows_locked boolean DEFAULT false)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_until timestamptz := clock_timestamp() + patience;
BEGIN
    LOOP
        IF pg_try_advisory_xact_lock(1919249520, 1) THEN
            PERFORM relpack.commit_locally();
            RETURN true;
        END IF;
        EXIT WHEN (clock_timestamp() < v_until) IS NOT TRUE;
        IF rows_locked AND relpack.anyone_waits() THEN
            RETURN false;
        END IF;
        PERFORM pg_sleep(0.002);
    END LOOP;
    RETURN NOT rows_locked AND relpack.line_up(patience);
END;
$$;

COMMENT ON FUNCTION relpack.try_writers_lock(interval, boolean) IS
    'Tries for the given time to get the writers'' lock exclusively, until the transaction ends; '
    'then once more by relpack.line_up(), unless rows of object_state are locked. '
    'False: some transaction is writing to object_state all the time; relpack.writer shows them.';
