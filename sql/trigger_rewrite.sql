-- AFTER UPDATE trigger of the object_state of a history-preserving storage, whose commits
-- update nothing. As relpack.trigger_write(), but for rows of which nobody asks what they
-- name as their predecessor: zodbpack has all that it keeps name none (prev_tid = 0).
-- Silent is only what the graph does not show: object, transaction and state are what
-- they were, the row is not later than the horizon, where relpack.trim_kept() asks
-- nobody's predecessor, and names none that it did not name before. So it keeps nothing
-- that it did not keep, whatever the horizon becomes meanwhile. While a first build reads
-- block after block nothing is silent: a row may move into one that was read.
CREATE OR REPLACE FUNCTION relpack.trigger_rewrite()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, relpack, pg_temp
AS $$
DECLARE
    v_watermark bigint;
    v_horizon bigint;
    v_graph text;
BEGIN
    IF (tg_table_schema, tg_table_name) <> ('public', 'object_state') THEN
        -- See relpack.trigger_delete.
        RETURN NULL;
    END IF;
    -- Restored from a dump without relpack's tables: the site goes on.
    IF to_regclass('relpack.storage') IS NULL THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM written) THEN
        -- Where a row is inserted or updated, and it was inserted.
        RETURN NULL;
    END IF;
    -- On a table of another shape, the casts and operators of its types would run with
    -- the rights of relpack's owner.
    IF (SELECT (pg_typeof(few.zoid), pg_typeof(few.tid), pg_typeof(few.prev_tid), pg_typeof(few.state))
               <> ('bigint'::regtype, 'bigint'::regtype, 'bigint'::regtype, 'bytea'::regtype)
        FROM written AS few
        LIMIT 1) THEN
        RAISE EXCEPTION 'object_state does not have the columns of RelStorage' USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- One that was put back, and gets another tid, is gone: see relpack.trigger_delete().
    IF EXISTS (SELECT FROM relpack.blob_removal WHERE since IS NOT NULL) THEN
        UPDATE relpack.blob_removal AS removal
        SET since = NULL, missed = NULL
        FROM replaced
        WHERE removal.zoid = replaced.zoid AND removal.tid = replaced.tid AND removal.since IS NOT NULL;
    END IF;
    -- An older snapshot shows an older watermark: all of what is written counts.
    IF current_setting('transaction_isolation') = 'read committed' THEN
        SELECT storage.watermark, storage.horizon_tid, storage.graph INTO v_watermark, v_horizon, v_graph FROM relpack.storage;
        IF v_graph = 'none' THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO relpack.write_event (kind, zoid, tid)
    SELECT 'written', written.zoid, written.tid
    FROM written
    WHERE (written.tid > v_watermark) IS NOT TRUE
      AND NOT EXISTS (
          SELECT
          FROM replaced
          WHERE replaced.zoid = written.zoid
            AND replaced.tid = written.tid
            AND replaced.tid <= v_horizon
            AND v_graph IN ('current', 'doubtful', 'reshaping')
            AND (written.prev_tid = 0 OR written.prev_tid = replaced.prev_tid)
            AND replaced.state IS NOT DISTINCT FROM written.state);
    RETURN NULL;
END;
$$;

COMMENT ON FUNCTION relpack.trigger_rewrite() IS
    'Trigger function: reports rows of a history-preserving storage that were rewritten, but for those of which only what '
    'they name as their predecessor has changed, and nobody asks that.';
