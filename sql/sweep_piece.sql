-- Called with the settings of relpack.sweep_batch(). Files of a history-preserving
-- storage are listed by relpack.trim_delete().
CREATE OR REPLACE FUNCTION relpack.sweep_piece(
    piece bigint[], OUT objects bigint, OUT bytes bigint, OUT blobs bigint)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_deleted record;
    v_gone record;
BEGIN
    v_deleted := relpack.sweep_delete(piece);
    WITH gone AS (
        DELETE FROM relpack.object WHERE zoid = ANY (piece) AND parent IS NULL RETURNING zoid, tid, size, class
    ), files AS (
        INSERT INTO relpack.blob_removal (zoid, tid)
        SELECT zoid, tid FROM gone WHERE class = 1 AND NOT (SELECT keeps_history FROM relpack.storage)
        ON CONFLICT DO NOTHING
    )
    SELECT count(gone.zoid) AS nodes, coalesce(sum(gone.size), 0) AS bytes,
           count(*) FILTER (WHERE gone.class = 1) AS blobs,
           count(deleted.zoid) AS rows,
           count(*) FILTER (WHERE deleted.tid = gone.tid) AS known
    INTO v_gone
    FROM gone
    FULL JOIN unnest(v_deleted.zoids, v_deleted.tids) AS deleted (zoid, tid) ON deleted.zoid = gone.zoid;
    -- Nothing but what is unreachable, in the revision that is known.
    IF v_gone.nodes <> cardinality(piece) OR v_gone.known <> v_gone.rows
       OR (v_gone.rows <> v_gone.nodes AND (SELECT keeps_history FROM relpack.storage)) THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'stale';
    END IF;
    DELETE FROM relpack.doomed WHERE zoid = ANY (piece);
    IF EXISTS (SELECT FROM relpack.problem) THEN
        DELETE FROM relpack.problem WHERE zoid = ANY (piece);
    END IF;
    IF EXISTS (SELECT FROM relpack.foreign_reference) THEN
        DELETE FROM relpack.foreign_reference WHERE inref = ANY (piece);
    END IF;
    objects := v_gone.rows;
    bytes := v_gone.bytes;
    blobs := v_gone.blobs;
END;
$$;

COMMENT ON FUNCTION relpack.sweep_piece(bigint[]) IS
    'Step of relpack.sweep(): deletes objects of a batch, and all that relpack knows of them but their references; blobs go to '
    'relpack.blob_removal. Raises RP003 (stale) unless all are unreachable and stored as they are known.';
