CREATE OR REPLACE FUNCTION relpack.capture_events(OUT reported boolean, OUT truncated boolean, OUT ahead boolean)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_deleted bigint;
    v_objects bigint := (SELECT objects FROM relpack.storage);
BEGIN
    WITH taken AS (
        DELETE FROM relpack.write_event
        RETURNING zoid, kind
    ), asked AS (
        INSERT INTO relpack.pending (zoid)
        SELECT DISTINCT zoid FROM taken WHERE zoid IS NOT NULL
        ON CONFLICT DO NOTHING
    )
    SELECT coalesce(bool_or(kind <> 'ahead'), false), coalesce(bool_or(kind = 'truncated'), false),
           coalesce(bool_or(kind = 'ahead'), false), count(DISTINCT zoid) FILTER (WHERE kind = 'deleted')
    INTO reported, truncated, ahead, v_deleted
    FROM taken;
    -- A pack by RelStorage deletes old revisions of most objects of a history.
    IF v_deleted > v_objects / 2 AND relpack.keeps_history() THEN
        v_deleted := (
            SELECT count(*)
            FROM relpack.pending
            WHERE NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = pending.zoid OFFSET 0));
    END IF;
    IF reported THEN
        -- What no tid dates (rows deleted in psql, an older load) may have
        -- happened just now, long after the last commit.
        UPDATE relpack.storage
        SET noticed_tid = greatest(noticed_tid, relpack.time_to_tid(clock_timestamp())),
            graph = CASE WHEN truncated THEN 'doubtful' ELSE graph END,
            -- zodbconvert --clear deletes all rows where it may not TRUNCATE.
            replaced = CASE WHEN truncated OR v_deleted > objects / 2 THEN now() ELSE replaced END;
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.capture_events() IS
    'Step of relpack.capture_list(): takes what triggers reported into relpack.pending. '
    'reported: there was something; truncated: all rows were deleted at once; ahead: commits of a history-preserving '
    'storage that were read ahead of this capture.';
