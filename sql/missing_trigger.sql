CREATE OR REPLACE FUNCTION relpack.missing_trigger()
RETURNS SETOF text
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT expected.name
    FROM (VALUES (to_regclass('public.object_state'), 'relpack_lock_writer', 'A'),
                 (to_regclass('public.object_state'), 'relpack_report_insert', 'A'),
                 (to_regclass('public.object_state'), 'relpack_report_update', 'A'),
                 (to_regclass('public.object_state'), 'relpack_report_delete', 'A'),
                 (to_regclass('public.object_state'), 'relpack_report_truncate', 'A'),
                 (to_regclass('public.object_state'), 'relpack_report_move', 'A'),
                 (to_regclass('public.object_state'), 'relpack_report_applied', 'R'),
                 (to_regclass('relpack.object'), 'relpack_guard_object', 'A'),
                 (to_regclass('relpack.object_inref'), 'relpack_guard_inref', 'A'),
                 (to_regclass('relpack.missing'), 'relpack_guard_missing', 'A'),
                 (to_regclass('relpack.write_event'), 'relpack_guard_write_event', 'A'),
                 (to_regclass('relpack.pending'), 'relpack_guard_pending', 'A'),
                 (to_regclass('relpack.suspect'), 'relpack_guard_suspect', 'A'),
                 (to_regclass('relpack.problem'), 'relpack_guard_problem', 'A'),
                 (to_regclass('relpack.foreign_reference'), 'relpack_guard_foreign_reference', 'A'),
                 (to_regclass('relpack.capture'), 'relpack_guard_capture', 'A'),
                 (to_regclass('relpack.referred_by'), 'relpack_unreferred', 'A'),
                 (to_regclass('relpack.referred_by'), 'relpack_unreferred_truncate', 'A'))
        AS expected (relation, name, enabled)
    WHERE NOT EXISTS (
        SELECT
        FROM pg_trigger
        WHERE tgrelid = expected.relation
          AND tgname = expected.name
          AND tgenabled = expected.enabled::"char")
    ORDER BY expected.name;
END;
$$;

COMMENT ON FUNCTION relpack.missing_trigger() IS
    'Which of relpack''s triggers are missing or not enabled as relpack enables them. relpack.create_triggers() installs all of them.';
