-- BEFORE trigger of every write to object_state. Taken before any row is
-- locked: later, a writer holding rows and a sweep holding the lock exclusively
-- would wait for each other. The two-key form can't meet an object's lock. To set
-- search_path for each of two calls a commit took a fifth of all that the triggers
-- take: there is one name here, with its schema; and it needs nobody else's rights.
CREATE OR REPLACE FUNCTION relpack.trigger_lock()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE
AS $$
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock_shared(1919249520, 1);
    RETURN NULL;
END;
$$;

COMMENT ON FUNCTION relpack.trigger_lock() IS
    'Trigger function: every writer of object_state holds advisory lock (1919249520, 1) shared until its transaction '
    'ends. Who holds it exclusively knows that no write is in flight.';
