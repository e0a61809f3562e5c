-- Held until the transaction ends; relpack.apply_discard() waits for it
-- before it empties the tables. So another pack, which begins with that, finds
-- nothing in them that a session of a lost one still sends.
CREATE OR REPLACE FUNCTION relpack.apply_join(packer integer)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1919249520, 2),
            set_config('idle_in_transaction_session_timeout', '10s', true);
    PERFORM relpack.require_packer_alive(packer);
END;
$$;

COMMENT ON FUNCTION relpack.apply_join(integer) IS
    'Begins a transaction of a second session that sends what was read for the session packer, which must hold the '
    'pack lock: RP004 otherwise. Takes advisory lock (1919249520, 2) shared.';
