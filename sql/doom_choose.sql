-- For relpack.doom() alone, with its settings: what is chosen here while a deletion
-- has begun is not asked for its age again.
CREATE OR REPLACE FUNCTION relpack.doom_choose(pack_tid bigint, begun boolean)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_pack_lock();
    IF current_setting('relpack.dooming', true) IS DISTINCT FROM pg_current_xact_id()::text THEN
        RAISE EXCEPTION 'relpack.doom_choose() is a step of relpack.doom()' USING ERRCODE = 'RP002', HINT = 'Call relpack.doom().';
    END IF;
    PERFORM relpack.scratch_clear('relpack.spared');
    PERFORM relpack.spare_young(pack_tid);
    IF NOT begun THEN
        INSERT INTO relpack.doomed (zoid)
        SELECT detached.zoid
        FROM relpack.detached
        WHERE NOT EXISTS (SELECT FROM relpack.spared WHERE spared.zoid = detached.zoid);
    ELSE
        DELETE FROM relpack.doomed
        WHERE EXISTS (SELECT FROM relpack.spared WHERE spared.zoid = doomed.zoid)
           OR NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = doomed.zoid AND object.parent IS NULL);
        INSERT INTO relpack.doomed (zoid)
        SELECT detached.zoid
        FROM relpack.detached
        WHERE NOT EXISTS (SELECT FROM relpack.spared WHERE spared.zoid = detached.zoid)
        ON CONFLICT DO NOTHING;
    END IF;
    PERFORM relpack.set_aside_blobs();
    PERFORM relpack.require_cut_off();
    PERFORM relpack.require_blob_owner();
    PERFORM relpack.scratch_clear('relpack.spared');
END;
$$;

COMMENT ON FUNCTION relpack.doom_choose(bigint, boolean) IS
    'Step of relpack.doom(): fills relpack.doomed with what is unreachable and not spared; what a deletion that has begun '
    'left there stays unless it is spared or reachable by now.';
