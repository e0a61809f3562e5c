-- Chooses what may be deleted: unreachable, last changed and found cut off
-- before the pack time, and reached by nothing that stays. Objects of a
-- deletion that has begun are not asked for their age again; what was chosen
-- since and is younger (with a smaller grace, by a dry run) is. Where all garbage
-- is within the grace there is nothing to walk. No bitmap scans: they go to the
-- heap for whatever was deleted since the last VACUUM, each time, where an index
-- scan marks it as dead. No JIT: what goes by index although it is called dear
-- (see enable_...) would be compiled for longer than it runs. The settings hold for
-- what is called from here, but for what sets others.
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
    v_tid bigint := relpack.doom_until(pack_time);
    v_begun bigint;
    v_count bigint;
    v_open timestamptz := now() - interval '30 days';
BEGIN
    PERFORM relpack.require_pack_lock();
    PERFORM relpack.require_settled();
    -- Has happened unless a run was killed at the end of relpack.reach().
    WHILE relpack.forget_missing() > 0 LOOP
    END LOOP;
    -- The clock was ahead when the grace began.
    UPDATE relpack.storage SET unreferred = clock_timestamp() WHERE unreferred > clock_timestamp();
    -- What an earlier deletion left dangling, for as long as it was not over.
    DELETE FROM relpack.dangling
    WHERE NOT EXISTS (SELECT FROM relpack.object_inref WHERE object_inref.zoid = dangling.zoid);
    SELECT begun_until INTO v_begun FROM relpack.storage;
    DELETE FROM relpack.set_aside;
    IF v_begun <> 0 THEN
        DELETE FROM relpack.doomed
        USING relpack.object
        WHERE object.zoid = doomed.zoid
          AND (coalesce(object.detached_tid, object.tid) > v_begun
               -- With an earlier pack time than that deletion had.
               OR object.tid > (SELECT horizon_tid FROM relpack.storage WHERE keeps_history));
        -- Nothing is left of that deletion, or a DBA emptied its list: it is over.
        IF NOT EXISTS (SELECT FROM relpack.doomed) THEN
            v_begun := 0;
        END IF;
    END IF;
    IF v_begun = 0 THEN
        PERFORM relpack.scratch_clear('relpack.doomed');
    END IF;

    IF v_begun <> 0 OR EXISTS (SELECT FROM relpack.detached WHERE detached.since <= v_tid) THEN
        PERFORM set_config('relpack.dooming', pg_current_xact_id()::text, true);
        PERFORM relpack.doom_choose(v_tid, v_begun <> 0);
        PERFORM set_config('relpack.dooming', '', true);
    END IF;
    SELECT count(*) INTO v_count FROM relpack.doomed;
    UPDATE relpack.storage
    SET doomed_tid = applied_tid,
        -- No garbage is younger than what was applied or noticed; what a first
        -- build found is as old as its tid, which may be ahead of the clock.
        doomed_until = least(v_tid, greatest(detach_tid, applied_tid)),
        doomed_left = v_count,
        begun_until = CASE WHEN v_count > 0 THEN v_begun ELSE 0 END;
    -- Captures that no open transaction can have begun before. Where those of
    -- others are not looked at, after a month.
    IF pack_time < 'infinity' THEN
        v_open := relpack.capped_pack_time(clock_timestamp());
    END IF;
    DELETE FROM relpack.capture WHERE read_until < v_open;
    RETURN v_count;
END;
$$;

COMMENT ON FUNCTION relpack.doom(timestamptz) IS
    'Chooses the objects that a sweep with this pack time deletes, into relpack.doomed; returns how many. '
    'NULL: everything that is unreachable. Deletes nothing. Raises RP002 where a live object refers to what is chosen, and '
    'where a sweep could not delete it: large objects of another owner.';
