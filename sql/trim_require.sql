-- Each step of a trim begins with this. The pack lock is to be held by the session:
-- between two steps no undo may begin.
CREATE OR REPLACE FUNCTION relpack.trim_require()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_off text;
    v_held boolean;
BEGIN
    -- Asked first: what comes next takes the lock for this transaction.
    v_held := coalesce(current_setting('relpack.lock_protocol', true), '') <> '' AND EXISTS (
        SELECT
        FROM pg_locks
        WHERE locktype = 'advisory'
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND pid = pg_backend_pid() AND granted
          AND classid = 4294967295 AND objid = 4294967294 AND objsubid = 1 AND mode = 'ExclusiveLock');
    PERFORM relpack.require_pack_lock(history => true);
    IF NOT v_held THEN
        RAISE EXCEPTION 'this session does not hold the pack lock: an undo may begin between two steps'
            USING ERRCODE = 'RP002', HINT = 'Call relpack.try_pack_lock() first.';
    END IF;
    SELECT string_agg(expected.name, ', ' ORDER BY expected.name)
    INTO v_off
    FROM (VALUES ('object_state', 'zoid bigint'), ('object_state', 'tid bigint'), ('object_state', 'prev_tid bigint'),
                 ('object_state', 'state_size bigint'), ('object_state', 'state bytea'),
                 ('current_object', 'zoid bigint'), ('current_object', 'tid bigint'),
                 ('transaction', 'tid bigint'), ('transaction', 'packed boolean')) AS expected (relation, name)
    WHERE NOT EXISTS (
        SELECT
        FROM pg_class
        JOIN pg_attribute ON attrelid = pg_class.oid
        WHERE relnamespace = 'public'::regnamespace AND relname = expected.relation AND relkind = 'r'
          AND format('%s %s', attname, format_type(atttypid, NULL)) = expected.name);
    IF v_off IS NOT NULL THEN
        RAISE EXCEPTION 'the storage lacks columns of a history-preserving one: %', v_off USING ERRCODE = 'RP002';
    END IF;
    -- A revision that isn't seen is taken for one that isn't there.
    IF row_security_active('public.object_state') OR row_security_active('public.current_object')
       OR row_security_active('public.transaction') THEN
        RAISE EXCEPTION 'row-level security may hide revisions from role %', current_user
            USING ERRCODE = 'RP002', HINT = format('ALTER ROLE %I BYPASSRLS; or pack as the owner of object_state.', current_user);
    END IF;
    IF EXISTS (SELECT FROM pg_inherits
               WHERE inhparent IN ('public.object_state'::regclass, 'public.current_object'::regclass, 'public.transaction'::regclass)
                  OR inhrelid IN ('public.object_state'::regclass, 'public.current_object'::regclass, 'public.transaction'::regclass)) THEN
        RAISE EXCEPTION 'a table of the storage inherits or is inherited from' USING ERRCODE = 'RP002';
    END IF;
    -- What becomes current beside a trim is protected by nothing else.
    v_off := relpack.trim_keys();
    IF v_off IS NOT NULL THEN
        RAISE EXCEPTION 'keys of RelStorage are missing or switched off: %', v_off
            USING ERRCODE = 'RP002', HINT = 'ALTER TABLE ... ADD, VALIDATE or DROP CONSTRAINT, or ENABLE TRIGGER ALL. '
                                             'If pg_restore is running, wait for its end.';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.trim_require() IS
    'Raises RP002 unless the storage is a history-preserving one that relpack can trim, all of it is seen, its keys '
    'hold (relpack.trim_keys()), and this session holds the pack lock (relpack.try_pack_lock()).';
