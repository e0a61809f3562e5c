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
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.trigger_lock();
    CREATE TRIGGER relpack_report_insert
        AFTER INSERT ON public.object_state
        REFERENCING NEW TABLE AS written
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.trigger_write();
    IF EXISTS (
        SELECT
        FROM pg_attribute
        WHERE attrelid = 'public.object_state'::regclass AND attname = 'prev_tid' AND NOT attisdropped) THEN
        CREATE TRIGGER relpack_report_update
            AFTER UPDATE ON public.object_state
            REFERENCING OLD TABLE AS replaced NEW TABLE AS written
            FOR EACH STATEMENT EXECUTE FUNCTION relpack.trigger_rewrite();
    ELSE
        CREATE TRIGGER relpack_report_update
            AFTER UPDATE ON public.object_state
            REFERENCING NEW TABLE AS written
            FOR EACH STATEMENT EXECUTE FUNCTION relpack.trigger_write();
    END IF;
    CREATE TRIGGER relpack_report_delete
        AFTER DELETE ON public.object_state
        REFERENCING OLD TABLE AS deleted
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.trigger_delete();
    CREATE TRIGGER relpack_report_truncate
        AFTER TRUNCATE ON public.object_state
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.trigger_truncate();
    CREATE TRIGGER relpack_report_applied
        AFTER INSERT OR UPDATE OR DELETE ON public.object_state
        FOR EACH ROW EXECUTE FUNCTION relpack.trigger_applied();
    CREATE TRIGGER relpack_report_move
        AFTER UPDATE ON public.object_state
        FOR EACH ROW WHEN (OLD.zoid IS DISTINCT FROM NEW.zoid)
        EXECUTE FUNCTION relpack.trigger_move();
    -- ALWAYS: they fire under session_replication_role = replica too.
    ALTER TABLE public.object_state
        ENABLE ALWAYS TRIGGER relpack_lock_writer,
        ENABLE ALWAYS TRIGGER relpack_report_insert,
        ENABLE ALWAYS TRIGGER relpack_report_update,
        ENABLE ALWAYS TRIGGER relpack_report_delete,
        ENABLE ALWAYS TRIGGER relpack_report_truncate,
        ENABLE ALWAYS TRIGGER relpack_report_move,
        ENABLE REPLICA TRIGGER relpack_report_applied;
    COMMENT ON TRIGGER relpack_lock_writer ON public.object_state IS 'relpack: writers share a lock';
    COMMENT ON TRIGGER relpack_report_insert ON public.object_state IS 'relpack: reports rows with an old tid';
    COMMENT ON TRIGGER relpack_report_update ON public.object_state IS 'relpack: reports rows with an old tid';
    COMMENT ON TRIGGER relpack_report_delete ON public.object_state IS 'relpack: reports deleted objects';
    COMMENT ON TRIGGER relpack_report_truncate ON public.object_state IS 'relpack: reports a TRUNCATE';
    COMMENT ON TRIGGER relpack_report_move ON public.object_state IS 'relpack: reports rows that got another zoid';
    COMMENT ON TRIGGER relpack_report_applied ON public.object_state IS 'relpack: reports rows applied by logical replication';

    CREATE TRIGGER relpack_guard_object
        BEFORE DELETE OR TRUNCATE ON relpack.object
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.guard_graph();
    CREATE TRIGGER relpack_guard_inref
        BEFORE DELETE OR TRUNCATE ON relpack.object_inref
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.guard_graph();
    CREATE TRIGGER relpack_guard_missing
        BEFORE DELETE OR TRUNCATE ON relpack.missing
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.guard_graph();
    CREATE TRIGGER relpack_guard_write_event
        BEFORE DELETE OR TRUNCATE ON relpack.write_event
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.guard_graph();
    CREATE TRIGGER relpack_guard_pending
        BEFORE DELETE OR TRUNCATE ON relpack.pending
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.guard_graph();
    CREATE TRIGGER relpack_guard_suspect
        BEFORE DELETE OR TRUNCATE ON relpack.suspect
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.guard_graph();
    CREATE TRIGGER relpack_guard_problem
        BEFORE DELETE OR TRUNCATE ON relpack.problem
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.guard_graph();
    CREATE TRIGGER relpack_guard_foreign_reference
        BEFORE DELETE OR TRUNCATE ON relpack.foreign_reference
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.guard_graph();
    CREATE TRIGGER relpack_guard_capture
        BEFORE DELETE OR TRUNCATE ON relpack.capture
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.guard_graph();

    CREATE TRIGGER relpack_unreferred
        AFTER INSERT OR UPDATE OR DELETE ON relpack.referred_by
        FOR EACH ROW EXECUTE FUNCTION relpack.note_unreferred();
    CREATE TRIGGER relpack_unreferred_truncate
        BEFORE TRUNCATE ON relpack.referred_by
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.note_unreferred();

    -- ALWAYS: they fire under session_replication_role = replica too.
    ALTER TABLE relpack.object ENABLE ALWAYS TRIGGER relpack_guard_object;
    ALTER TABLE relpack.object_inref ENABLE ALWAYS TRIGGER relpack_guard_inref;
    ALTER TABLE relpack.missing ENABLE ALWAYS TRIGGER relpack_guard_missing;
    ALTER TABLE relpack.write_event ENABLE ALWAYS TRIGGER relpack_guard_write_event;
    ALTER TABLE relpack.pending ENABLE ALWAYS TRIGGER relpack_guard_pending;
    ALTER TABLE relpack.suspect ENABLE ALWAYS TRIGGER relpack_guard_suspect;
    ALTER TABLE relpack.problem ENABLE ALWAYS TRIGGER relpack_guard_problem;
    ALTER TABLE relpack.foreign_reference ENABLE ALWAYS TRIGGER relpack_guard_foreign_reference;
    ALTER TABLE relpack.capture ENABLE ALWAYS TRIGGER relpack_guard_capture;
    ALTER TABLE relpack.referred_by
        ENABLE ALWAYS TRIGGER relpack_unreferred,
        ENABLE ALWAYS TRIGGER relpack_unreferred_truncate;

    COMMENT ON TRIGGER relpack_guard_object ON relpack.object IS 'relpack: refuses DELETE and TRUNCATE to others';
    COMMENT ON TRIGGER relpack_guard_inref ON relpack.object_inref IS 'relpack: refuses DELETE and TRUNCATE to others';
    COMMENT ON TRIGGER relpack_guard_missing ON relpack.missing IS 'relpack: refuses DELETE and TRUNCATE to others';
    COMMENT ON TRIGGER relpack_guard_write_event ON relpack.write_event IS 'relpack: refuses DELETE and TRUNCATE to others';
    COMMENT ON TRIGGER relpack_guard_pending ON relpack.pending IS 'relpack: refuses DELETE and TRUNCATE to others';
    COMMENT ON TRIGGER relpack_guard_suspect ON relpack.suspect IS 'relpack: refuses DELETE and TRUNCATE to others';
    COMMENT ON TRIGGER relpack_guard_problem ON relpack.problem IS 'relpack: refuses DELETE and TRUNCATE to others';
    COMMENT ON TRIGGER relpack_guard_foreign_reference ON relpack.foreign_reference IS 'relpack: refuses DELETE and TRUNCATE to others';
    COMMENT ON TRIGGER relpack_guard_capture ON relpack.capture IS 'relpack: refuses DELETE and TRUNCATE to others';
    COMMENT ON TRIGGER relpack_unreferred ON relpack.referred_by IS 'relpack: begins the grace';
    COMMENT ON TRIGGER relpack_unreferred_truncate ON relpack.referred_by IS 'relpack: begins the grace';
END;
$$;

COMMENT ON FUNCTION relpack.create_triggers() IS
    'Installs relpack''s triggers on object_state, again if need be; the next pack finds by comparing what was written in between. '
    'Call it with a lock_timeout: it needs a strong lock for a moment.';
