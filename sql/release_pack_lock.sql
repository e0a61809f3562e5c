CREATE OR REPLACE FUNCTION relpack.release_pack_lock()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF relpack.lock_protocol() <> 'advisory' THEN
        PERFORM pg_advisory_unlock(23), pg_advisory_unlock(1);
    END IF;
    PERFORM pg_advisory_unlock(-2);
END;
$$;

COMMENT ON FUNCTION relpack.release_pack_lock() IS
    'Releases what relpack.try_pack_lock() took in this session.';
