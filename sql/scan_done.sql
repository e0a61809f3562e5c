-- Ends the transaction in which another session than the packer's has sent a
-- range: it is done with all its rows or not at all. The file that was read is
-- another one where VACUUM FULL, CLUSTER or pg_repack has moved rows into ranges
-- that were read before.
CREATE OR REPLACE FUNCTION relpack.scan_done(
    packer integer, first_block bigint, filenode bigint, objects bigint, inrefs bigint, foreign_refs bigint,
    undecoded bigint[], empty bigint[], empty_detail text)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF foreign_refs > 0 THEN
        -- Another worker's rows are not visible, and those that a lost session left
        -- behind are not ours. In this order no worker waits for the other where a
        -- row that moved is read by both.
        WITH moved AS (
            DELETE FROM relpack.examined_foreign
            WHERE xmin = pg_current_xact_id()::xid
            RETURNING inref, database, zoid
        )
        INSERT INTO relpack.foreign_reference (inref, database, zoid)
        SELECT DISTINCT inref, database, zoid
        FROM moved
        ORDER BY inref, database, zoid
        ON CONFLICT DO NOTHING;
    END IF;
    -- Looked at again when there is a graph to look things up in.
    INSERT INTO relpack.pending (zoid)
    SELECT read.zoid FROM unnest(undecoded) AS read (zoid) ORDER BY read.zoid
    ON CONFLICT DO NOTHING;
    INSERT INTO relpack.problem (zoid, blocks, kind, detail)
    SELECT read.zoid, false, 'empty', empty_detail FROM unnest(empty) AS read (zoid) ORDER BY read.zoid
    ON CONFLICT DO NOTHING;
    DELETE FROM relpack.scan_range AS range WHERE range.first_block = scan_done.first_block;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'another session has read the blocks of object_state from % on: is another pack running?', scan_done.first_block;
    END IF;
    -- Last of all: the other worker waits for this row.
    UPDATE relpack.storage
    SET objects = storage.objects + scan_done.objects,
        inrefs = storage.inrefs + scan_done.inrefs,
        scan_disturbed = scan_disturbed OR storage.filenode <> scan_done.filenode::oid;
    -- If the packer is lost, another pack may begin a build of its own, in which
    -- this range counted as read; but it has to wait for the locks that this
    -- transaction has by now.
    PERFORM relpack.require_packer_alive(packer);
END;
$$;

COMMENT ON FUNCTION relpack.scan_done(integer, bigint, bigint, bigint, bigint, bigint, bigint[], bigint[], text) IS
    'Ends a range of the scan of a first build. '
    'Its objects and references were sent before in this transaction: so many objects, references, and references to '
    'other databases (in relpack.examined_foreign), read from the file filenode of object_state. '
    'undecoded are to be read again, empty have no state. '
    'Raises RP004 when the session packer has lost the pack lock.';
