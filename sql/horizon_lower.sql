-- What other storages are told that this one refers to are the references in the graph,
-- and an undo brings back what any revision that is stored refers to, until it is
-- trimmed.
CREATE OR REPLACE FUNCTION relpack.horizon_lower()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_storage relpack.storage;
BEGIN
    PERFORM relpack.require_pack_lock(history => true);
    v_storage := relpack.known_storage();
    IF v_storage.horizon_tid <= v_storage.cleared_tid OR v_storage.graph NOT IN ('none', 'current', 'doubtful') THEN
        RETURN false;
    END IF;
    PERFORM relpack.horizon_set(v_storage.cleared_tid, v_storage.horizon_capped);
    RETURN true;
END;
$$;

COMMENT ON FUNCTION relpack.horizon_lower() IS
    'Moves the horizon of the graph of a history-preserving storage down to where its history is trimmed, so that the '
    'references of all revisions that are stored count. Tells whether that was lower: then what is in relpack.pending is '
    'to be read.';
