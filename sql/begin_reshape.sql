-- From here on relpack.reach_step() goes on with relpack.reshape(), and so does the
-- next run after a crash. What is suspected is forgotten: the new parents decide.
CREATE OR REPLACE FUNCTION relpack.begin_reshape(reason text)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE relpack.storage
    SET graph = 'reshaping',
        -- A comparison that is due is due afterwards.
        scan_disturbed = graph = 'doubtful',
        walked_objects = 0,
        doomed_tid = 0;
    DELETE FROM relpack.suspect;
    DELETE FROM relpack.fill_range;
    PERFORM relpack.scratch_clear('relpack.reached');
    RAISE INFO '%: choosing new parents for all objects, from the recorded references', reason;
END;
$$;

COMMENT ON FUNCTION relpack.begin_reshape(text) IS
    'Step of relpack.reach(): has relpack.reshape() choose the parents of all objects.';
