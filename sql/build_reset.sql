-- Forgets the graph. Without it nothing needs an event, so that writers are
-- not delayed; indexes are made after the tables are filled. SECURITY DEFINER:
-- only the owner of a table may drop its indexes, and a role that packs need
-- not be that.
CREATE OR REPLACE FUNCTION relpack.build_reset()
RETURNS void
LANGUAGE plpgsql
VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '500ms'
SET client_min_messages = warning
AS $$
BEGIN
    PERFORM relpack.require_packer();
    PERFORM relpack.require_pack_lock();
    -- A storage of which no graph can be built keeps the one that there is.
    PERFORM relpack.require_storage();
    PERFORM relpack.require_no_holes();
    UPDATE relpack.storage
    SET graph = 'none', watermark = 0, applied_tid = 0, listed_tid = 0, noticed_tid = 0, doomed_tid = 0,
        settled_tid = 0, clock_tid = NULL, cleared_tid = 0, oldest_tid = 0,
        objects = 0, inrefs = 0, walked_objects = 0,
        doomed_until = 0, begun_until = 0, scan_disturbed = false, reread = false, resettle = false,
        replaced = CASE WHEN EXISTS (SELECT FROM relpack.write_event WHERE kind = 'truncated')
                        THEN now() ELSE replaced END;
    TRUNCATE relpack.object, relpack.object_inref, relpack.staged_object, relpack.reached,
             relpack.pending, relpack.suspect, relpack.doomed, relpack.problem, relpack.capture, relpack.set_aside,
             relpack.foreign_reference,
             relpack.missing, relpack.dangling,
             relpack.scan_range, relpack.fill_range;
    DELETE FROM relpack.write_event;
    ALTER TABLE relpack.object DROP CONSTRAINT IF EXISTS object_pkey;
    ALTER TABLE relpack.object_inref DROP CONSTRAINT IF EXISTS object_inref_pkey;
    DROP INDEX IF EXISTS relpack.object_detached, relpack.object_inref_inref,
                         relpack.object_zoid, relpack.object_inref_zoid, relpack.staged_object_zoid;
END;
$$;

COMMENT ON FUNCTION relpack.build_reset() IS
    'Forgets the graph, for a first build or "relpack pack --init". Blob files waiting to be removed are kept.';
