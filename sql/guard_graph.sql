-- BEFORE DELETE and BEFORE TRUNCATE trigger of the tables of the graph, and of those
-- that say what is to be looked at or keeps something from being deleted: what is
-- missing there looks like garbage. pg_locks holds up the lock manager: it is asked
-- once in a transaction.
CREATE OR REPLACE FUNCTION relpack.guard_graph()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('relpack.guarded', true) = transaction_timestamp()::text THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (
        SELECT
        FROM pg_locks
        WHERE locktype = 'advisory'
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND classid = 4294967295
          AND objid = 4294967294
          AND objsubid = 1
          AND pid = pg_backend_pid()
          AND granted) THEN
        RAISE EXCEPTION '% on relpack.%: only the session that holds the pack lock may do that', tg_op, tg_table_name
            USING ERRCODE = 'RP002', HINT = 'To start again, run "relpack pack --init".';
    END IF;
    PERFORM set_config('relpack.guarded', transaction_timestamp()::text, true);
    RETURN NULL;
END;
$$;

COMMENT ON FUNCTION relpack.guard_graph() IS
    'Trigger function: refuses DELETE and TRUNCATE of relpack''s tables to everybody but the session that holds the pack lock.';
