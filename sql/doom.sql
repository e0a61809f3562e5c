-- Chooses what may be deleted: unreachable, last changed and found cut off
-- before the pack time, and reached by nothing that stays. Objects of a
-- deletion that has begun are not asked for their age again; what was chosen
-- since and is younger (with a smaller grace, by a dry run) is. No bitmap scans:
-- they go to the heap for whatever was deleted since the last VACUUM, each time,
-- where an index scan marks it as dead. No JIT: what goes by index although it is
-- called dear (see enable_...) would be compiled for longer than it runs.
CREATE OR REPLACE FUNCTION relpack.doom(pack_time timestamptz)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
SET jit = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    v_tid bigint := relpack.capped_tid(pack_time);
    v_newest bigint;
    v_last bigint;
    v_begun bigint;
    v_count bigint;
BEGIN
    PERFORM relpack.require_pack_lock();
    PERFORM relpack.require_settled();
    SELECT begun_until INTO v_begun FROM relpack.storage;
    IF v_begun = 0 THEN
        PERFORM relpack.clear_scratch('relpack.doomed');
    ELSE
        DELETE FROM relpack.doomed
        USING relpack.object
        WHERE object.zoid = doomed.zoid AND greatest(object.tid, object.detached_tid) > v_begun;
    END IF;
    -- Where only garbage bears the highest tid, one row of it stays: clients
    -- and our own watermark rely on max(tid) never falling.
    SELECT max(tid) INTO v_newest FROM public.object_state;
    IF NOT EXISTS (
        SELECT
        FROM public.object_state AS stored
        LEFT JOIN relpack.object ON object.zoid = stored.zoid
        WHERE stored.tid = v_newest AND (object.zoid IS NULL OR object.parent IS NOT NULL)) THEN
        SELECT min(zoid) INTO v_last FROM public.object_state WHERE tid = v_newest;
    END IF;

    PERFORM relpack.clear_scratch('relpack.spared');
    INSERT INTO relpack.spared (zoid, stage)
    SELECT object.zoid, 'new'
    FROM relpack.object
    WHERE coalesce(object.parent, -1) = -1
      AND (object.zoid = v_last
           OR (greatest(object.tid, object.detached_tid) > v_tid
               AND NOT EXISTS (SELECT FROM relpack.doomed WHERE doomed.zoid = object.zoid)));
    IF FOUND THEN
        PERFORM relpack.analyze_spared();
    END IF;
    LOOP
        EXIT WHEN NOT EXISTS (SELECT FROM relpack.spared WHERE stage = 'new');
        PERFORM relpack.spare();
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

    IF v_begun = 0 THEN
        INSERT INTO relpack.doomed (zoid)
        SELECT object.zoid
        FROM relpack.object
        WHERE coalesce(object.parent, -1) = -1
          AND NOT EXISTS (SELECT FROM relpack.spared WHERE spared.zoid = object.zoid);
    ELSE
        DELETE FROM relpack.doomed
        WHERE EXISTS (SELECT FROM relpack.spared WHERE spared.zoid = doomed.zoid)
           OR NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = doomed.zoid AND object.parent IS NULL);
        INSERT INTO relpack.doomed (zoid)
        SELECT object.zoid
        FROM relpack.object
        WHERE coalesce(object.parent, -1) = -1
          AND NOT EXISTS (SELECT FROM relpack.spared WHERE spared.zoid = object.zoid)
        ON CONFLICT DO NOTHING;
    END IF;
    PERFORM relpack.require_large_objects();
    SELECT count(*) INTO v_count FROM relpack.doomed;
    UPDATE relpack.storage
    SET doomed_tid = applied_tid,
        -- No garbage is younger than what was applied or noticed.
        doomed_until = least(v_tid, greatest(applied_tid, noticed_tid)),
        begun_until = CASE WHEN v_count > 0 THEN begun_until ELSE 0 END;
    -- Captures that no open transaction can have begun before. Where those of
    -- others are not looked at, after a month.
    DELETE FROM relpack.capture
    WHERE read_until < CASE
        WHEN pack_time < 'infinity' THEN relpack.capped_pack_time(clock_timestamp())
        ELSE now() - interval '30 days'
    END;
    PERFORM relpack.clear_scratch('relpack.spared');
    RETURN v_count;
END;
$$;

COMMENT ON FUNCTION relpack.doom(timestamptz) IS
    'Chooses the objects that a sweep with this pack time deletes, into relpack.doomed; returns how many. NULL: whatever is unreachable. Deletes nothing. Raises RP002 where a sweep could not delete what is chosen: large objects of another owner.';
