-- What no comparison can heal is refused here.
CREATE OR REPLACE FUNCTION relpack.require_storage()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_off text;
BEGIN
    PERFORM relpack.lock_storage();
    -- Triggers fire for statements that name their table: a write to another
    -- table of the family, whose rows would be read, would not be noticed.
    IF (SELECT relkind FROM pg_class WHERE oid = to_regclass('public.object_state')) <> 'r'
       OR EXISTS (SELECT FROM pg_inherits WHERE to_regclass('public.object_state') IN (inhparent, inhrelid)) THEN
        RAISE EXCEPTION 'public.object_state is no plain table: it is partitioned, inherits or is inherited from, or is a view'
            USING ERRCODE = 'RP002';
    END IF;
    IF row_security_active('public.object_state') THEN
        RAISE EXCEPTION 'row-level security may hide objects from role %: what these refer to would look like garbage', current_user
            USING ERRCODE = 'RP002', HINT = format('ALTER ROLE %I BYPASSRLS; or pack as the owner of object_state.', current_user);
    END IF;
    SELECT string_agg(expected.name, ', ')
    INTO v_off
    FROM relpack.missing_trigger() AS expected (name);
    IF v_off IS NOT NULL THEN
        RAISE EXCEPTION 'triggers of relpack are missing or disabled: %', v_off
            USING ERRCODE = 'RP002', HINT = 'Run "relpack migrate up": it installs them again.';
    END IF;
    IF NOT EXISTS (SELECT FROM public.object_state WHERE zoid = 0) THEN
        RAISE EXCEPTION 'the storage has no root object (zoid 0): everything in it would look like garbage'
            USING ERRCODE = 'RP002';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_storage() IS
    'Locks object_state as relpack.lock_storage() does, and raises RP002 when the storage has no root object, is no plain table or may not be seen whole, or relpack''s triggers are not in force.';
