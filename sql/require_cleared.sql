-- Old revisions that a pack takes may refer to what is garbage without them: as long as
-- one is there, an undo may bring it back.
CREATE OR REPLACE FUNCTION relpack.require_cleared()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_storage relpack.storage;
BEGIN
    v_storage := relpack.known_storage();
    IF NOT v_storage.keeps_history THEN
        RETURN;
    END IF;
    PERFORM relpack.trim_require();
    IF current_setting('relpack.settling', true) IS DISTINCT FROM 'settled' THEN
        RAISE EXCEPTION 'an undo may be in flight that began before this session took the pack lock'
            USING ERRCODE = 'RP002', HINT = 'Call relpack.trim_settle() until it returns true.';
    END IF;
    IF v_storage.cleared_tid < v_storage.horizon_tid THEN
        RAISE EXCEPTION 'the history is not trimmed up to the pack time of the graph: old revisions may refer to garbage'
            USING ERRCODE = 'RP002', HINT = 'Run "relpack pack".';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_cleared() IS
    'Precondition of relpack.sweep() in a history-preserving storage: raises RP002 unless what relpack.trim_require() asks '
    'holds, undos that had begun are over, and all of the history was trimmed up to the horizon of the graph.';
