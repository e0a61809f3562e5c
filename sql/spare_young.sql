-- What stays goes into relpack.spared: garbage within the grace or written after
-- the capture, and all that it refers to. Objects of a deletion that has begun are not asked for their age.
-- In a history-preserving storage what has a revision later than the horizon stays, and
-- so does what was set back (relpack.trim_leaves()), whoever set it back: nobody reports
-- that.
CREATE OR REPLACE FUNCTION relpack.spare_young(pack_tid bigint)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_applied bigint := (
        SELECT CASE WHEN keeps_history THEN least(applied_tid, horizon_tid) ELSE applied_tid END FROM relpack.storage);
    v_newest bigint;
    v_last bigint;
BEGIN
    -- Where only garbage bears the highest tid, one row of it stays: clients
    -- and our own watermark rely on max(tid) never falling.
    SELECT max(tid) INTO v_newest FROM relpack.stored();
    IF NOT relpack.keeps_history() AND NOT EXISTS (
        SELECT
        FROM relpack.stored()
        LEFT JOIN relpack.object ON object.zoid = stored.zoid
        WHERE stored.tid = v_newest AND (object.zoid IS NULL OR object.parent IS NOT NULL)) THEN
        SELECT min(zoid) INTO v_last FROM relpack.stored() WHERE tid = v_newest;
    END IF;

    INSERT INTO relpack.spared (zoid, stage)
    SELECT detached.zoid, 'new'
    FROM relpack.detached
    WHERE detached.zoid = v_last
       OR ((detached.since > pack_tid OR detached.tid > v_applied)
           AND NOT EXISTS (SELECT FROM relpack.doomed WHERE doomed.zoid = detached.zoid));
    IF FOUND THEN
        PERFORM relpack.doom_analyze();
    END IF;
    IF relpack.keeps_history() THEN
        INSERT INTO relpack.spared (zoid, stage)
        SELECT detached.zoid, 'new'
        FROM relpack.detached
        WHERE NOT EXISTS (
            SELECT FROM public.current_object WHERE current_object.zoid = detached.zoid AND (current_object.tid = detached.tid) IS TRUE)
        ON CONFLICT DO NOTHING;
    END IF;
    PERFORM relpack.spare_referred();
END;
$$;

COMMENT ON FUNCTION relpack.spare_young(bigint) IS
    'Step of relpack.doom(): fills relpack.spared with the unreachable objects that are younger than this tid or were '
    'written after the capture, and what they refer to. Raises RP002 where one of them can''t be decoded.';
