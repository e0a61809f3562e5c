-- Of states only the sizes are read, which stand in the rows.
CREATE OR REPLACE FUNCTION relpack.history_by_class()
RETURNS TABLE (class text, objects bigint, bytes bigint, revisions bigint, history bigint)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
SET enable_hashjoin = on
SET enable_seqscan = on
AS $$
BEGIN
    RETURN QUERY
    SELECT known.label, found.objects, found.bytes, found.revisions, found.history
    FROM (
        SELECT object.class AS id,
               count(*) FILTER (WHERE stored.tid >= object.tid) AS objects,
               coalesce(sum(octet_length(stored.state)) FILTER (WHERE stored.tid >= object.tid), 0) AS bytes,
               count(*) FILTER (WHERE stored.tid < object.tid) AS revisions,
               coalesce(sum(octet_length(stored.state)) FILTER (WHERE stored.tid < object.tid), 0) AS history
        FROM relpack.stored()
        JOIN relpack.object ON object.zoid = stored.zoid
        WHERE stored.tid <= (SELECT storage.applied_tid FROM relpack.storage)
        GROUP BY object.class
    ) AS found
    JOIN relpack.class AS known ON known.id = found.id
    ORDER BY found.history DESC, known.label;
END;
$$;

COMMENT ON FUNCTION relpack.history_by_class() IS
    'Which classes have the most history, as of the last pack; garbage included. It reads all of object_state, but no state. '
    'objects and bytes: newest revisions; revisions and history: the older ones, and bytes of their states.';
