-- Chooses what may be deleted: unreachable, last changed and found cut off
-- before the pack time, and reached by nothing that stays. Objects of a
-- deletion that has begun are not asked for their age again.
CREATE OR REPLACE FUNCTION relpack.doom(pack_time timestamptz)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = on
SET enable_hashjoin = on
SET enable_mergejoin = on
SET plan_cache_mode = force_custom_plan
SET work_mem = '64MB'
AS $$
DECLARE
    v_tid bigint := relpack.time_tid(coalesce(relpack.capped_pack_time(pack_time), 'infinity'));
    v_last bigint;
    v_begun boolean;
    v_count bigint;
    v_stage text := 'spared';
BEGIN
    PERFORM relpack.require_pack_lock();
    PERFORM relpack.require_settled();
    SELECT sweep_begun INTO v_begun FROM relpack.storage;
    IF NOT v_begun THEN
        DELETE FROM relpack.doomed;
    END IF;
    -- The row that alone bears the highest tid stays: clients and our own
    -- watermark rely on max(tid) never falling.
    SELECT stored.zoid
    INTO v_last
    FROM public.object_state AS stored
    JOIN relpack.object ON object.zoid = stored.zoid AND object.parent IS NULL
    WHERE stored.tid = (SELECT max(tid) FROM public.object_state)
      AND (SELECT count(*)
           FROM (SELECT FROM public.object_state AS other
                 WHERE other.tid = stored.tid LIMIT 2) AS few) = 1;

    TRUNCATE relpack.spared;
    INSERT INTO relpack.spared (zoid, stage)
    SELECT object.zoid, 'new'
    FROM relpack.object
    WHERE object.parent IS NULL
      AND (object.zoid = v_last
           OR (greatest(object.tid, object.detached_tid) > v_tid
               AND NOT EXISTS (SELECT FROM relpack.doomed WHERE doomed.zoid = object.zoid)));
    ANALYZE relpack.spared;
    LOOP
        SELECT count(*) INTO v_count
        FROM (SELECT FROM relpack.spared WHERE stage = 'new' LIMIT 100001) AS few;
        EXIT WHEN v_count = 0;
        IF v_count <= 1000 THEN
            PERFORM relpack.spare_narrow();
            CONTINUE;
        END IF;
        PERFORM relpack.choose_plan(v_count);
        WITH frontier AS MATERIALIZED (
            UPDATE relpack.spared SET stage = 'done' WHERE stage = 'new' RETURNING zoid
        )
        INSERT INTO relpack.spared (zoid, stage)
        SELECT DISTINCT object_inref.zoid, 'new'
        FROM frontier
        JOIN relpack.object_inref ON object_inref.inref = frontier.zoid
        JOIN relpack.object ON object.zoid = object_inref.zoid
        WHERE object.parent IS NULL AND v_stage IS NOT NULL
        ON CONFLICT DO NOTHING;
    END LOOP;
    IF EXISTS (SELECT FROM relpack.problem JOIN relpack.spared USING (zoid) WHERE problem.blocks) THEN
        RAISE EXCEPTION 'an unreachable object that is to stay can''t be decoded: what it refers to is unknown'
            USING ERRCODE = 'RP002',
                  DETAIL = (SELECT string_agg(format('zoid %s: %s', zoid, detail), '; ')
                            FROM (SELECT zoid, detail
                                  FROM relpack.problem JOIN relpack.spared USING (zoid)
                                  WHERE problem.blocks ORDER BY zoid LIMIT 10) AS few),
                  HINT = 'It may be deleted together with the rest once it is beyond the grace (--days).';
    END IF;

    DELETE FROM relpack.doomed
    WHERE EXISTS (SELECT FROM relpack.spared WHERE spared.zoid = doomed.zoid)
       OR NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = doomed.zoid AND object.parent IS NULL);
    INSERT INTO relpack.doomed (zoid)
    SELECT object.zoid
    FROM relpack.object
    WHERE object.parent IS NULL
      AND NOT EXISTS (SELECT FROM relpack.spared WHERE spared.zoid = object.zoid)
    ON CONFLICT DO NOTHING;
    SELECT count(*) INTO v_count FROM relpack.doomed;
    UPDATE relpack.storage
    SET doomed_tid = applied_tid,
        sweep_begun = sweep_begun AND v_count > 0;
    TRUNCATE relpack.spared;
    RETURN v_count;
END;
$$;

COMMENT ON FUNCTION relpack.doom(timestamptz) IS
    'Chooses the objects that a sweep with this pack time deletes, into relpack.doomed; returns how many. NULL: whatever is unreachable. Deletes nothing.';
