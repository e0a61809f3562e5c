-- Takes, for the session, the locks that keep other packers out. On storages
-- of 3.5 and later that is -2 and nothing else: keys from 0 up are the locks
-- of objects there, and object 1 is usually the application root.
CREATE OR REPLACE FUNCTION relpack.try_pack_lock()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_protocol text := relpack.require_protocol();
BEGIN
    IF NOT pg_try_advisory_lock(-2) THEN
        RETURN false;
    END IF;
    PERFORM set_config('relpack.lock_protocol', v_protocol, false),
            set_config('relpack.settling', '', false);
    -- Lost with the row is whether object_state was replaced, and since when other
    -- storages refer to this one no more: both may have been just now.
    IF NOT EXISTS (SELECT FROM relpack.storage) THEN
        INSERT INTO relpack.storage (keeps_history, replaced, unreferred, emptied, marked_tid)
        VALUES (relpack.keeps_history(), now(), CASE WHEN EXISTS (SELECT FROM relpack.referred_by) THEN now() ELSE '-infinity' END,
                (SELECT count(*) FROM relpack.emptied), -1)
        ON CONFLICT DO NOTHING;
    END IF;
    IF v_protocol = 'advisory' THEN
        RETURN true;
    END IF;
    -- 1: zodbpack before RelStorage 3.5; 23: relstorage_packer.
    IF pg_try_advisory_lock(1) THEN
        IF pg_try_advisory_lock(23) THEN
            RETURN true;
        END IF;
        PERFORM pg_advisory_unlock(1);
    END IF;
    PERFORM pg_advisory_unlock(-2);
    PERFORM set_config('relpack.lock_protocol', '', false);
    RETURN false;
END;
$$;

COMMENT ON FUNCTION relpack.try_pack_lock() IS
    'Takes the pack lock for this session, without waiting; false when another pack runs. '
    'Where relpack.storage has lost its row, it gets another one: the graph is to be built again. '
    'Raises RP002 where RelStorage''s locks are unknown. Release with relpack.release_pack_lock().';
