-- A COMMIT that waits for a synchronous standby has not let go of its locks. If
-- the standby is gone, all writing would stop, also of applications that do
-- without one. What must be durable elsewhere, before files go, is a commit of
-- its own without locks.
CREATE OR REPLACE FUNCTION relpack.commit_locally()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('synchronous_commit') NOT IN ('off', 'local') THEN
        PERFORM set_config('synchronous_commit', 'local', true);
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.commit_locally() IS
    'Lets this transaction, which holds the writers'' lock or rows of the storage, commit without waiting for a synchronous standby.';
