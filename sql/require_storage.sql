-- What no comparison can heal is refused here.
CREATE OR REPLACE FUNCTION relpack.require_storage()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_off text;
BEGIN
    IF to_regclass('public.object_state') IS NULL THEN
        RAISE EXCEPTION 'there is no table public.object_state' USING ERRCODE = 'RP002';
    END IF;
    SELECT string_agg(expected.name, ', ')
    INTO v_off
    FROM unnest(ARRAY['relpack_lock_writer', 'relpack_report_insert', 'relpack_report_update',
                      'relpack_report_delete', 'relpack_report_truncate']) AS expected (name)
    WHERE NOT EXISTS (
        SELECT
        FROM pg_trigger
        WHERE tgrelid = to_regclass('public.object_state')
          AND tgname = expected.name
          AND tgenabled = 'A');
    IF v_off IS NOT NULL THEN
        RAISE EXCEPTION 'triggers of relpack on object_state are missing or disabled: %', v_off
            USING ERRCODE = 'RP002', HINT = 'Run "relpack migrate up": it installs them again.';
    END IF;
    IF NOT EXISTS (SELECT FROM public.object_state WHERE zoid = 0) THEN
        RAISE EXCEPTION 'the storage has no root object (zoid 0): everything in it would look like garbage'
            USING ERRCODE = 'RP002';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_storage() IS
    'Raises RP002 when the storage has no root object, or relpack''s triggers are not in force.';
