-- Second half of a capture: what must be looked at again goes to pending, in
-- one transaction with the events that asked for it. Events of transactions
-- that are not visible yet stay for the next capture. What was committed after
-- the watermark, a moment ago, is taken along: it may have replaced a revision
-- that this capture would have read (see relpack.apply).
CREATE OR REPLACE FUNCTION relpack.capture_list()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_storage relpack.storage;
    v_abandoned boolean;
    v_reported boolean;
    v_truncated boolean;
BEGIN
    PERFORM relpack.require_pack_lock();
    PERFORM relpack.lock_storage();
    SELECT * INTO STRICT v_storage FROM relpack.storage;
    IF v_storage.graph NOT IN ('current', 'doubtful') THEN
        RAISE EXCEPTION 'the graph is not built yet' USING ERRCODE = 'RP002', HINT = 'Run "relpack pack".';
    END IF;
    IF v_storage.reread THEN
        RAISE EXCEPTION 'columns of object_state, or relpack''s own tables, were altered: every state must be read again first'
            USING ERRCODE = 'RP002', HINT = 'Run "relpack pack".';
    END IF;

    v_abandoned := EXISTS (SELECT FROM relpack.pending);
    WITH taken AS (
        DELETE FROM relpack.write_event
        RETURNING zoid, kind
    ), asked AS (
        INSERT INTO relpack.pending (zoid)
        SELECT DISTINCT zoid FROM taken WHERE zoid IS NOT NULL
        ON CONFLICT DO NOTHING
    )
    SELECT count(*) > 0, coalesce(bool_or(kind = 'truncated'), false)
    INTO v_reported, v_truncated
    FROM taken;

    IF v_reported OR v_storage.graph = 'doubtful' THEN
        -- What no tid dates (rows deleted in psql, an older load) may have
        -- happened just now, long after the last commit.
        UPDATE relpack.storage
        SET noticed_tid = greatest(noticed_tid, relpack.time_to_tid(clock_timestamp()))
        RETURNING detach_tid INTO v_storage.detach_tid;
    END IF;
    IF v_abandoned THEN
        -- A run was abandoned when it had applied a part of its changes. What it
        -- found cut off may have hung on what it did not come to, and may have
        -- been cut only now: its grace begins with this run.
        UPDATE relpack.object
        SET detached_tid = v_storage.detach_tid
        WHERE object.parent IS NULL
          AND object.detached_tid >= least(v_storage.settled_tid, v_storage.applied_tid);
    END IF;

    -- A missing row may be back without anybody having reported it.
    INSERT INTO relpack.pending (zoid)
    SELECT missing.zoid
    FROM relpack.missing
    WHERE EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = missing.zoid)
    ON CONFLICT DO NOTHING;

    IF v_storage.graph = 'doubtful' OR v_truncated THEN
        PERFORM relpack.capture_recount();
        PERFORM relpack.capture_compare();
    ELSIF EXISTS (SELECT FROM relpack.pending) THEN
        -- Of what an abandoned run had listed, a part may be applied.
        INSERT INTO relpack.pending (zoid)
        SELECT stored.zoid
        FROM relpack.stored()
        WHERE stored.tid > v_storage.applied_tid
          AND NOT EXISTS (
              SELECT
              FROM relpack.object
              WHERE object.zoid = stored.zoid AND object.tid = stored.tid)
        ON CONFLICT DO NOTHING;
    ELSE
        -- Nothing is in the way, and in order it goes into the index fastest.
        INSERT INTO relpack.pending (zoid)
        SELECT zoid
        FROM relpack.stored()
        WHERE tid > v_storage.applied_tid
        ORDER BY zoid;
    END IF;

    -- What is odd may have come to name an object that is stored now: one that is
    -- new, or that an event tells of, as it does when it was stored while the odd
    -- record was read.
    IF EXISTS (SELECT FROM relpack.problem WHERE kind = 'salvaged')
       AND (v_reported OR EXISTS (
           SELECT
           FROM relpack.pending
           WHERE NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = pending.zoid OFFSET 0))) THEN
        INSERT INTO relpack.pending (zoid)
        SELECT zoid FROM relpack.problem WHERE kind = 'salvaged'
        ON CONFLICT DO NOTHING;
    END IF;

    UPDATE relpack.storage
    SET listed_tid = watermark,
        graph = 'current';
    RETURN relpack.apply_finish();
END;
$$;

COMMENT ON FUNCTION relpack.capture_list() IS
    'Second half of a capture: fills relpack.pending with the objects to read and decode; returns how many there are.';
