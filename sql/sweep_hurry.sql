-- The settings outlive the function: a client that stops before the commit, or goes
-- on in an open transaction, lets go of the lock.
CREATE OR REPLACE FUNCTION relpack.sweep_hurry()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('idle_in_transaction_session_timeout', '2s', true),
            set_config('statement_timeout', '2s', true);
    IF current_setting('server_version_num')::int >= 170000 THEN
        PERFORM set_config('transaction_timeout', '2s', true);
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.sweep_hurry() IS
    'Step of relpack.sweep(): what is left of this transaction may take 2 seconds.';
