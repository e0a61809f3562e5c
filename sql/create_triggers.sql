-- Installs, or installs again, relpack's triggers on object_state and on the
-- tables of the graph. Needs their owner. The locks are strong but short: the caller sets lock_timeout.
CREATE OR REPLACE FUNCTION relpack.create_triggers()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
BEGIN
    PERFORM relpack.drop_triggers();

    CREATE TRIGGER relpack_lock_writer
        BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.object_state
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.lock_writer();
    CREATE TRIGGER relpack_report_insert
        AFTER INSERT ON public.object_state
        REFERENCING NEW TABLE AS written
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.report_write();
    CREATE TRIGGER relpack_report_update
        AFTER UPDATE ON public.object_state
        REFERENCING NEW TABLE AS written
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.report_write();
    CREATE TRIGGER relpack_report_delete
        AFTER DELETE ON public.object_state
        REFERENCING OLD TABLE AS deleted
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.report_delete();
    CREATE TRIGGER relpack_report_truncate
        AFTER TRUNCATE ON public.object_state
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.report_truncate();
    CREATE TRIGGER relpack_report_applied
        AFTER INSERT OR UPDATE OR DELETE ON public.object_state
        FOR EACH ROW EXECUTE FUNCTION relpack.report_applied();
    CREATE TRIGGER relpack_guard_object
        BEFORE DELETE OR TRUNCATE ON relpack.object
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.guard_graph();
    CREATE TRIGGER relpack_guard_inref
        BEFORE DELETE OR TRUNCATE ON relpack.object_inref
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.guard_graph();

    CREATE TRIGGER relpack_report_move
        AFTER UPDATE ON public.object_state
        FOR EACH ROW WHEN (OLD.zoid IS DISTINCT FROM NEW.zoid)
        EXECUTE FUNCTION relpack.report_move();

    -- ALWAYS: they fire under session_replication_role = replica too.
    ALTER TABLE public.object_state
        ENABLE ALWAYS TRIGGER relpack_lock_writer,
        ENABLE ALWAYS TRIGGER relpack_report_insert,
        ENABLE ALWAYS TRIGGER relpack_report_update,
        ENABLE ALWAYS TRIGGER relpack_report_delete,
        ENABLE ALWAYS TRIGGER relpack_report_truncate,
        ENABLE ALWAYS TRIGGER relpack_report_move,
        ENABLE REPLICA TRIGGER relpack_report_applied;
    ALTER TABLE relpack.object ENABLE ALWAYS TRIGGER relpack_guard_object;
    ALTER TABLE relpack.object_inref ENABLE ALWAYS TRIGGER relpack_guard_inref;

    COMMENT ON TRIGGER relpack_lock_writer ON public.object_state IS 'relpack: writers share a lock';
    COMMENT ON TRIGGER relpack_report_insert ON public.object_state IS 'relpack: reports rows with an old tid';
    COMMENT ON TRIGGER relpack_report_update ON public.object_state IS 'relpack: reports rows with an old tid';
    COMMENT ON TRIGGER relpack_report_delete ON public.object_state IS 'relpack: reports deleted objects';
    COMMENT ON TRIGGER relpack_report_truncate ON public.object_state IS 'relpack: reports a TRUNCATE';
    COMMENT ON TRIGGER relpack_report_move ON public.object_state IS 'relpack: reports rows that got another zoid';
    COMMENT ON TRIGGER relpack_report_applied ON public.object_state IS 'relpack: reports rows applied by logical replication';
    COMMENT ON TRIGGER relpack_guard_object ON relpack.object IS 'relpack: refuses DELETE and TRUNCATE to others';
    COMMENT ON TRIGGER relpack_guard_inref ON relpack.object_inref IS 'relpack: refuses DELETE and TRUNCATE to others';
END;
$$;

COMMENT ON FUNCTION relpack.create_triggers() IS
    'Installs relpack''s triggers on object_state, again if need be; what was written meanwhile is found by comparing. Call it with a lock_timeout: it needs a strong lock for a moment.';
