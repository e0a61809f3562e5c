CREATE OR REPLACE FUNCTION relpack.drop_triggers()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
BEGIN
    IF to_regclass('public.object_state') IS NOT NULL THEN
        DROP TRIGGER IF EXISTS relpack_lock_writer ON public.object_state;
        DROP TRIGGER IF EXISTS relpack_report_insert ON public.object_state;
        DROP TRIGGER IF EXISTS relpack_report_update ON public.object_state;
        DROP TRIGGER IF EXISTS relpack_report_delete ON public.object_state;
        DROP TRIGGER IF EXISTS relpack_report_truncate ON public.object_state;
        DROP TRIGGER IF EXISTS relpack_report_move ON public.object_state;
        DROP TRIGGER IF EXISTS relpack_report_applied ON public.object_state;
    END IF;
    DROP TRIGGER IF EXISTS relpack_guard_object ON relpack.object;
    DROP TRIGGER IF EXISTS relpack_guard_inref ON relpack.object_inref;
    DROP TRIGGER IF EXISTS relpack_guard_missing ON relpack.missing;
    DROP TRIGGER IF EXISTS relpack_guard_write_event ON relpack.write_event;
    DROP TRIGGER IF EXISTS relpack_guard_pending ON relpack.pending;
    DROP TRIGGER IF EXISTS relpack_guard_suspect ON relpack.suspect;
    DROP TRIGGER IF EXISTS relpack_guard_problem ON relpack.problem;
    DROP TRIGGER IF EXISTS relpack_guard_foreign_reference ON relpack.foreign_reference;
    DROP TRIGGER IF EXISTS relpack_guard_capture ON relpack.capture;
    DROP TRIGGER IF EXISTS relpack_unreferred ON relpack.referred_by;
    DROP TRIGGER IF EXISTS relpack_unreferred_truncate ON relpack.referred_by;
END;
$$;

COMMENT ON FUNCTION relpack.drop_triggers() IS
    'Removes relpack''s triggers: the site writes as if relpack were not installed, and the next pack compares. '
    'Call it with a lock_timeout.';
