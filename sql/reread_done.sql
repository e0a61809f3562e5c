CREATE OR REPLACE FUNCTION relpack.reread_done()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_pack_lock();
    UPDATE relpack.storage SET reread = false;
END;
$$;

COMMENT ON FUNCTION relpack.reread_done() IS
    'Notes that every state was read again, and what differs put into relpack.pending, as relpack.storage.reread asks.';
