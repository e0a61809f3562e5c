-- An undo lets go of the pack lock before it commits. Until then its row names the
-- large object of an old revision, and its predecessor, and nobody sees it. It has
-- written to object_state by then: so whoever has, when this session first asks,
-- must have ended before the first revision goes. An undo locks no objects: who had
-- voted before it committed will name a revision that is older than the undo's. So
-- when undos are over, those are waited for that have voted by then. Nobody is kept
-- waiting for that.
CREATE OR REPLACE FUNCTION relpack.trim_settle()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_stage text;
    v_awaited text[];
BEGIN
    PERFORM relpack.trim_held();
    v_stage := coalesce(current_setting('relpack.settling', true), '');
    IF v_stage = 'settled' THEN
        RETURN true;
    END IF;
    IF v_stage = '' THEN
        v_awaited := relpack.trim_writers(voted => false);
    ELSE
        SELECT array_agg(waits)
        INTO v_awaited
        FROM unnest(nullif(current_setting('relpack.awaited', true), '')::text[]) AS waits
        WHERE waits = ANY (relpack.trim_writers(voted => v_stage = 'votes'));
    END IF;
    IF v_stage = '' THEN
        v_stage := 'undos';
    END IF;
    IF v_stage = 'undos' AND coalesce(cardinality(v_awaited), 0) = 0 THEN
        v_stage := 'votes';
        v_awaited := relpack.trim_writers(voted => true);
    END IF;
    IF v_stage = 'votes' AND coalesce(cardinality(v_awaited), 0) = 0 THEN
        v_stage := 'settled';
        PERFORM relpack.trim_committed();
    END IF;
    PERFORM set_config('relpack.settling', v_stage, false),
            set_config('relpack.awaited', coalesce(v_awaited, '{}')::text, false);
    RETURN v_stage = 'settled';
END;
$$;

COMMENT ON FUNCTION relpack.trim_settle() IS
    'Whether all transactions have ended that were writing when this session, which holds the pack lock, first asked, and '
    'then all that had voted: undos may be among the first, and the others may name what was before an undo. Before that '
    'nothing is trimmed.';
