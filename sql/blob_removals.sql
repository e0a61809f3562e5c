-- Blob files go while no writer is in flight, a few at a time. An object that
-- is stored again keeps them all: somebody restored it, or a RelStorage up to
-- 2.0 wrote it, whose commits delete a row and insert it anew. Files of earlier
-- revisions go with the object.
CREATE OR REPLACE FUNCTION relpack.blob_removals(
    batch integer,
    OUT zoid bigint, OUT tid bigint, OUT newest_zoid bigint)
RETURNS SETOF record
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_pack_lock();
    IF NOT relpack.try_writers_lock() THEN
        RAISE EXCEPTION 'writers are in the way' USING ERRCODE = 'lock_not_available';
    END IF;
    -- The files are unlinked before this transaction ends: a client that stops
    -- there must not hold the site.
    PERFORM set_config('idle_in_transaction_session_timeout', '2s', true);
    DELETE FROM relpack.blob_removal AS removal
    USING public.object_state AS stored
    WHERE stored.zoid = removal.zoid;
    RETURN QUERY
    SELECT removal.zoid, removal.tid, (SELECT max(newest.zoid) FROM public.object_state AS newest)
    FROM relpack.blob_removal AS removal
    ORDER BY removal.zoid, removal.tid
    LIMIT batch;
END;
$$;

COMMENT ON FUNCTION relpack.blob_removals(integer) IS
    'The next blob files to unlink, with the writers'' lock held until the transaction ends (raises lock_not_available when it can''t be had); rows whose object is stored again are dropped.';
