-- What becomes current beside a trim is protected by nothing but RelStorage's keys, and
-- a revision that isn't seen is taken for one that isn't there.
CREATE OR REPLACE FUNCTION relpack.require_history()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_off text;
BEGIN
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
    v_off := relpack.trim_keys();
    IF v_off IS NOT NULL THEN
        RAISE EXCEPTION 'keys of RelStorage are missing or switched off: %', v_off
            USING ERRCODE = 'RP002', HINT = 'ALTER TABLE ... ADD, VALIDATE or DROP CONSTRAINT, or ENABLE TRIGGER ALL. '
                                             'If pg_restore is running, wait for its end.';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_history() IS
    'Step of relpack.trim_require(): raises RP002 unless the tables of a history-preserving storage are as relpack can '
    'trim them, all of them is seen, and their keys hold (relpack.trim_keys()).';
