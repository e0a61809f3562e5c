-- AFTER DELETE trigger of object_state. A sweep cleans the graph itself and
-- needs no event; it says so by naming its transaction, and only objects that
-- are doomed are taken at its word.
CREATE OR REPLACE FUNCTION relpack.trigger_delete()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, relpack, pg_temp
AS $$
DECLARE
    v_known boolean;
    v_history boolean;
    v_graph text;
    v_horizon bigint;
    v_committed constant boolean := current_setting('transaction_isolation') = 'read committed';
BEGIN
    IF (tg_table_schema, tg_table_name) <> ('public', 'object_state') THEN
        -- Renamed, or moved away, it goes on as if relpack were not there; nobody
        -- gets anything from a trigger on a table of his own.
        RETURN NULL;
    END IF;
    -- Restored from a dump without relpack's tables: the site goes on.
    IF to_regclass('relpack.storage') IS NULL THEN
        RETURN NULL;
    END IF;
    -- On a table of another shape, the casts of its types would run with the
    -- rights of relpack's owner.
    IF (SELECT (pg_typeof(few.zoid), pg_typeof(few.tid), pg_typeof(few.state))
               <> ('bigint'::regtype, 'bigint'::regtype, 'bytea'::regtype)
        FROM deleted AS few
        LIMIT 1) THEN
        RAISE EXCEPTION 'object_state does not have the columns of RelStorage' USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- While the graph is built there is no index to look an object up by.
    SELECT storage.graph, storage.keeps_history, storage.horizon_tid INTO v_graph, v_history, v_horizon FROM relpack.storage;
    v_known := v_graph IN ('current', 'doubtful');
    IF v_history THEN
        -- A revision that was superseded up to the horizon is not in the graph: trims,
        -- whoever does them, are silent. Should the graph know one all the same (an
        -- object that was set back, what a later one names), it refers to too much.
        -- An older snapshot shows an older graph, another horizon, and revisions that are gone:
        -- there all that is deleted counts.
        -- Files of old revisions are those of who trims. In most sessions neither setting was
        -- ever made: it is NULL there. What is listed and was put back goes anew.
        IF EXISTS (SELECT FROM relpack.blob_removal WHERE since IS NOT NULL) THEN
            UPDATE relpack.blob_removal AS removal
            SET since = NULL, missed = NULL
            FROM deleted
            WHERE removal.zoid = deleted.zoid AND removal.tid = deleted.tid AND removal.since IS NOT NULL;
        END IF;
        -- Asked once for each object, from the newest on: the index still has all that is
        -- deleted here.
        INSERT INTO relpack.write_event (kind, zoid, tid)
        SELECT 'deleted', object.zoid, gone.tid
        FROM (
            SELECT deleted.zoid, array_agg(deleted.tid) AS tids, array_agg(deleted.state IS NULL) AS bare
            FROM deleted
            WHERE v_graph <> 'none' OR NOT v_committed
            GROUP BY deleted.zoid
        ) AS object
        CROSS JOIN LATERAL (
            SELECT max(stored.tid) AS tid
            FROM relpack.stored()
            WHERE stored.zoid = object.zoid AND stored.tid <= v_horizon
        ) AS newest
        CROSS JOIN LATERAL unnest(object.tids, object.bare) AS gone (tid, bare)
        WHERE (v_committed AND newest.tid > gone.tid) IS NOT TRUE
          AND NOT (current_setting('relpack.sweeping', true) IS NOT DISTINCT FROM pg_current_xact_id()::text
                   AND EXISTS (SELECT FROM relpack.doomed WHERE doomed.zoid = object.zoid OFFSET 0))
          AND NOT (current_setting('relpack.trimming', true) IS NOT DISTINCT FROM pg_current_xact_id()::text
                   AND gone.bare
                   AND EXISTS (SELECT FROM relpack.pending WHERE pending.zoid = object.zoid OFFSET 0));
        RETURN NULL;
    END IF;
    IF current_setting('relpack.sweeping', true) = pg_current_xact_id()::text THEN
        INSERT INTO relpack.write_event (kind, zoid, tid)
        SELECT 'deleted', deleted.zoid, deleted.tid
        FROM deleted
        WHERE NOT EXISTS (SELECT FROM relpack.doomed WHERE doomed.zoid = deleted.zoid);
    ELSE
        INSERT INTO relpack.write_event (kind, zoid, tid)
        SELECT 'deleted', deleted.zoid, deleted.tid
        FROM deleted;
    END IF;
    -- A plain state of a blob names the class in its first bytes. What does, or
    -- isn't plain, is none if the graph knows another class of this very revision
    -- (after a reload the zoid may be another object's).
    INSERT INTO relpack.blob_removal (zoid, tid)
    SELECT deleted.zoid, deleted.tid
    FROM deleted
    LEFT JOIN LATERAL (
        SELECT known.class
        FROM relpack.object AS known
        WHERE v_known AND known.zoid = deleted.zoid AND known.tid = deleted.tid
        OFFSET 0
    ) AS object ON true
    WHERE (deleted.state IS NULL
           OR substring(deleted.state FROM 1 FOR 1) = '.'
           OR position('ZODB.blob'::bytea IN substring(deleted.state FROM 1 FOR 64)) > 0)
      AND coalesce(object.class, 0) IN (0, 1)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END;
$$;

COMMENT ON FUNCTION relpack.trigger_delete() IS
    'Trigger function: reports deleted objects, and puts blobs among them into relpack.blob_removal, even if others delete '
    'them. In a history-preserving storage it reports deleted revisions, but for those that were superseded up to the '
    'horizon of the graph, and lists no blobs: who deletes a revision sees to its file.';
