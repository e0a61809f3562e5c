-- Other sessions of a pack send what they read: if the one that holds the pack
-- lock is lost, another pack may have begun, and this one's word is worth nothing.
CREATE OR REPLACE FUNCTION relpack.require_packer_alive(packer integer)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM relpack.pack_lock_holder() AS holder WHERE holder.pid = packer) THEN
        RAISE EXCEPTION 'the session that holds the pack lock has ended' USING ERRCODE = 'RP004';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_packer_alive(integer) IS
    'Raises RP004 unless the session packer holds the pack lock: for what a pack does in its other sessions.';
