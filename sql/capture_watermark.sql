-- First half of a capture: the moment that separates what this run looks at
-- from what makes an event or has a higher tid. A graph that is not
-- trusted (relpack.doubt) becomes doubtful here, together with the identity of what it will be
-- compared with: whatever is written afterwards is reported by triggers.
CREATE OR REPLACE FUNCTION relpack.capture_watermark()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_relation oid;
    v_filenode oid;
    v_triggers text;
    v_columns text;
    v_graph text;
    v_doubt text;
BEGIN
    PERFORM relpack.require_pack_lock();
    PERFORM relpack.require_storage();
    IF NOT relpack.try_writers_lock() THEN
        RETURN false;
    END IF;
    -- In this order: what changes after the look is another one than noted.
    v_relation := to_regclass('public.object_state');
    v_filenode := pg_relation_filenode('public.object_state');
    v_triggers := relpack.trigger_identity();
    v_columns := relpack.column_identity();
    v_graph := relpack.graph_identity();
    v_doubt := relpack.doubt();
    -- Of a storage that has gone back to an earlier transaction (TRUNCATE, an
    -- older load) nothing above that is known.
    UPDATE relpack.storage
    SET watermark = newest.tid,
        clock_tid = greatest(clock_tid, relpack.time_to_tid(clock_timestamp())),
        applied_tid = least(applied_tid, newest.tid),
        graph = CASE WHEN v_doubt IS NOT NULL AND graph = 'current' THEN 'doubtful' ELSE graph END,
        scan_disturbed = scan_disturbed OR (v_doubt IS NOT NULL AND graph NOT IN ('none', 'current')),
        -- Whatever was in a table of ours that is another one now may be lost.
        reread = reread OR (graph <> 'none' AND (column_identity <> v_columns OR graph_identity <> v_graph
                                                 OR relation IS DISTINCT FROM v_relation)),
        resettle = resettle OR (graph <> 'none' AND (graph_identity <> v_graph OR relation IS DISTINCT FROM v_relation)),
        replaced = CASE WHEN relation NOT IN (0, v_relation) OR watermark > coalesce(newest.tid, 0)
                        THEN now() ELSE replaced END,
        relation = v_relation,
        filenode = v_filenode,
        trigger_identity = v_triggers,
        column_identity = v_columns,
        graph_identity = v_graph
    FROM (SELECT relpack.newest_tid() AS tid) AS newest;
    RETURN true;
END;
$$;

COMMENT ON FUNCTION relpack.capture_watermark() IS
    'First half of a capture: while no write is in flight, notes the highest tid. '
    'False when the writers'' lock could not be had: try again. relpack.capture_list() is the second half.';
