-- The stages in the order in which they may run. An object is "attached" when
-- it has a parent, "detached" when it has none; only once no suspect is in
-- stage climb or cut does attached mean live.
CREATE OR REPLACE FUNCTION relpack.reach_step()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_graph text;
BEGIN
    PERFORM relpack.require_pack_lock();
    SELECT graph INTO v_graph FROM relpack.storage;
    IF v_graph = 'reshaping' THEN
        PERFORM relpack.reshape();
        RETURN true;
    ELSIF v_graph NOT IN ('known', 'doubtful') THEN
        RAISE EXCEPTION 'the graph is not built yet' USING ERRCODE = 'RP002', HINT = 'Run "relpack pack".';
    END IF;
    IF EXISTS (SELECT FROM relpack.suspect WHERE stage = 'flow') THEN
        PERFORM relpack.flow();
    ELSIF EXISTS (SELECT FROM relpack.suspect WHERE stage = 'climb') THEN
        PERFORM relpack.climb();
    ELSIF EXISTS (SELECT FROM relpack.suspect WHERE stage = 'cut') THEN
        PERFORM relpack.cut();
    ELSIF EXISTS (SELECT FROM relpack.suspect WHERE stage = 'loose') THEN
        PERFORM relpack.loosen(ARRAY(
            SELECT zoid FROM relpack.suspect WHERE stage = 'loose' LIMIT (relpack.limits()).together));
    ELSIF (SELECT resettle FROM relpack.storage) THEN
        -- What was suspected may be lost: nothing but the references is believed.
        UPDATE relpack.storage SET resettle = false;
        PERFORM relpack.begin_reshape('relpack''s own tables were emptied, rewritten or restored');
    ELSE
        -- What is still detached is unreachable.
        IF relpack.forget_missing() > 0 THEN
            RETURN true;
        END IF;
        UPDATE relpack.storage SET cut_objects = 0 WHERE cut_objects <> 0;
        -- Cut off again later, it is to have its grace again. Nothing was
        -- attached where nothing was applied since the choice.
        IF (SELECT doomed_tid = 0 FROM relpack.storage) THEN
            DELETE FROM relpack.doomed
            USING relpack.object
            WHERE object.zoid = doomed.zoid AND object.parent IS NOT NULL;
        END IF;
        RETURN false;
    END IF;
    RETURN true;
END;
$$;

COMMENT ON FUNCTION relpack.reach_step() IS
    'One bounded step of relpack.reach(). True while there is more to do.';
