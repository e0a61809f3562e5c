-- Every function that writes the graph begins with this: there is one writer.
CREATE OR REPLACE FUNCTION relpack.require_pack_lock(history boolean DEFAULT false)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_protocol text;
    v_other text;
BEGIN
    IF pg_is_in_recovery() THEN
        RAISE EXCEPTION 'this server is a standby: relpack works on the primary' USING ERRCODE = 'RP002';
    END IF;
    -- Capture and sweep look again after they got a lock; with an older
    -- snapshot they would look at the past.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'relpack needs READ COMMITTED, this transaction is %',
                        upper(current_setting('transaction_isolation'))
            USING ERRCODE = 'RP002';
    END IF;
    PERFORM relpack.require_kind(history);
    v_protocol := relpack.require_protocol();
    -- A session that holds the locks gets them again.
    IF pg_try_advisory_xact_lock(-2)
       AND (v_protocol = 'advisory'
            OR (pg_try_advisory_xact_lock(1) AND pg_try_advisory_xact_lock(23))) THEN
        RETURN;
    END IF;
    -- Nobody is seen who has just let go of it, or has prepared his transaction.
    SELECT format(': pid %s, application "%s"%s', holder.pid, holder.application, ', since ' || holder.since)
    INTO v_other
    FROM relpack.pack_lock_holder() AS holder
    WHERE holder.pid <> pg_backend_pid()
    LIMIT 1;
    RAISE EXCEPTION 'another pack is running%', coalesce(v_other, '')
        USING ERRCODE = 'RP001', HINT = 'Try again when it has ended.';
END;
$$;

COMMENT ON FUNCTION relpack.require_pack_lock(boolean) IS
    'Makes sure that this session is the only packer: it holds the pack lock, or gets it until its transaction ends. '
    'Raises RP001 when another pack runs, RP002 on a standby, when the transaction is not READ COMMITTED, when '
    'RelStorage''s locks are unknown or others than before, or when the storage is not of this kind (relpack.require_kind()).';
