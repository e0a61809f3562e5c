CREATE OR REPLACE FUNCTION relpack.release_pack_lock()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- What was taken, though the storage may have another RelStorage by now.
    IF coalesce(nullif(current_setting('relpack.lock_protocol', true), ''), relpack.lock_protocol()) IN ('row', 'table') THEN
        PERFORM pg_advisory_unlock(23), pg_advisory_unlock(1);
    END IF;
    PERFORM pg_advisory_unlock(-2), set_config('relpack.lock_protocol', '', false);
END;
$$;

COMMENT ON FUNCTION relpack.release_pack_lock() IS
    'Releases what relpack.try_pack_lock() took in this session.';
