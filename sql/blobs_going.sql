-- For a dry run: what relpack.trim_delete() and the sweep, with RelStorage's trigger on
-- blob_chunk, would do. Large objects of two revisions of an object, as an undo leaves
-- them, go with the later one, and not at all if a trim keeps one of them.
CREATE OR REPLACE FUNCTION relpack.blobs_going(
    zoids bigint[], tids bigint[], until_tid bigint,
    OUT zoid bigint, OUT tid bigint, OUT file boolean, OUT large bigint, OUT bytes bigint)
RETURNS SETOF record
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
DECLARE
    v_history boolean := relpack.keeps_history();
    v_chunked bigint[] := '{}';
    v_held boolean;
    v_large oid[];
BEGIN
    PERFORM relpack.lock_storage();
    IF to_regclass('public.blob_chunk') IS NOT NULL THEN
        v_chunked := ARRAY(
            SELECT asked.place
            FROM unnest(zoids, tids) WITH ORDINALITY AS asked (zoid, tid, place)
            WHERE EXISTS (
                SELECT
                FROM public.blob_chunk
                WHERE blob_chunk.zoid = asked.zoid AND (blob_chunk.tid = asked.tid OR NOT v_history)
                OFFSET 0));
    END IF;
    FOR zoid, tid, file, v_held IN
        SELECT stored.zoid, stored.tid, stored.file, chunked.held
        FROM unnest(zoids, tids) WITH ORDINALITY AS asked (zoid, tid, place)
        CROSS JOIN LATERAL (
            SELECT found.zoid, found.tid,
                   CASE
                   WHEN v_history THEN
                       position('ZODB.blob'::bytea IN substring(found.state FROM 1 FOR 24)) > 0
                       OR (substring(found.state FROM 1 FOR 1) = '.' AND substring(found.state FROM 1 FOR 2) <> '.z'
                           AND octet_length(found.state) < 300)
                   ELSE true
                   END IS TRUE AS file
            FROM relpack.stored() AS found
            WHERE found.zoid = asked.zoid AND found.tid BETWEEN asked.tid AND asked.tid
            OFFSET 0
        ) AS stored
        CROSS JOIN LATERAL (
            SELECT (asked.place IN (SELECT unnest(v_chunked))) IS TRUE AS held -- looked up in a hash of these
        ) AS chunked
        WHERE stored.file OR chunked.held
    LOOP
        large := 0;
        bytes := 0;
        IF v_held THEN
            SELECT array_agg(DISTINCT known.oid) FILTER (WHERE NOT v_history OR NOT EXISTS (
                       SELECT
                       FROM public.blob_chunk AS other
                       WHERE other.zoid = blobs_going.zoid AND other.chunk = own.chunk AND other.tid <> own.tid
                         AND (other.tid > own.tid
                              OR until_tid IS NOT NULL
                                 AND other.tid IN (SELECT kept FROM relpack.trim_kept(blobs_going.zoid, until_tid) AS kept))))
            INTO v_large
            FROM public.blob_chunk AS own
            JOIN pg_largeobject_metadata AS known ON known.oid = own.chunk
            WHERE own.zoid = blobs_going.zoid AND (own.tid = blobs_going.tid OR NOT v_history);
            file := file AND NOT v_history; -- in the database there is no file
            large := coalesce(cardinality(v_large), 0);
            bytes := CASE WHEN large > 0 THEN relpack.large_object_bytes(v_large) ELSE 0 END;
        END IF;
        IF file OR large > 0 THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END;
$$;

COMMENT ON FUNCTION relpack.blobs_going(bigint[], bigint[], bigint) IS
    'What goes besides with these revisions, which a pack is to delete: a file, if there is one, and large objects. '
    'until_tid: of a trim up to this; NULL: all of the object goes. large, bytes: how many large objects, and their length, '
    'NULL where this role may not read one. For objects of a history-free storage whose class is that of blobs, or not known.';
