-- Before RelStorage 3.0 a client chooses its tids by a clock of its own, which nobody
-- compares with the server's. But one commit follows the other, in the order of their
-- tids: whoever begins after this moment sees all up to here.
CREATE OR REPLACE FUNCTION relpack.trim_committed()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_newest bigint;
BEGIN
    -- The moment is to be later than the look.
    IF NOT relpack.keeps_history() OR relpack.lock_protocol() <> 'table'
       OR current_setting('transaction_isolation') <> 'read committed'
       OR has_table_privilege(to_regclass('public.transaction'), 'SELECT') IS NOT TRUE THEN
        RETURN;
    END IF;
    v_newest := (SELECT max(tid) FROM public.transaction);
    -- The storage has gone back to an earlier transaction.
    DELETE FROM relpack.committed WHERE tid > v_newest;
    INSERT INTO relpack.committed (tid, noted)
    SELECT v_newest, relpack.capture_read_until()
    WHERE v_newest IS NOT NULL
    ON CONFLICT (tid) DO NOTHING;
END;
$$;

COMMENT ON FUNCTION relpack.trim_committed() IS
    'Notes the newest transaction, and the moment, in relpack.committed, for relpack.trim_until(): in history-preserving '
    'storages of RelStorage before 3.0, in others nothing.';
