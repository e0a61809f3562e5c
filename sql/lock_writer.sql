-- BEFORE trigger of every write to object_state. Taken before any row is
-- locked: later, a writer holding rows and a sweep holding the lock exclusively
-- would wait for each other. The two-key form can't meet an object's lock.
CREATE OR REPLACE FUNCTION relpack.lock_writer()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, relpack, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1919249520, 1);
    RETURN NULL;
END;
$$;

COMMENT ON FUNCTION relpack.lock_writer() IS
    'Trigger function: every writer of object_state holds advisory lock (1919249520, 1) shared until its transaction ends. Who holds it exclusively knows that no write is in flight.';
