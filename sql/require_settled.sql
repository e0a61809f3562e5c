-- Preconditions of every deletion.
CREATE OR REPLACE FUNCTION relpack.require_settled()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_storage relpack.storage;
    v_doubt text := relpack.doubt();
    v_difference text := (SELECT audit.difference FROM relpack.audit);
    v_problems text;
BEGIN
    PERFORM relpack.require_storage();
    IF current_setting('session_replication_role') = 'replica' THEN
        RAISE EXCEPTION 'session_replication_role is replica: what belongs to deleted rows would stay'
            USING ERRCODE = 'RP002', HINT = 'SET session_replication_role = origin;';
    END IF;
    PERFORM relpack.require_deletable();
    v_storage := relpack.known_storage();
    IF v_storage.graph = 'reshaping' THEN
        RAISE EXCEPTION 'new parents are being chosen for all objects'
            USING ERRCODE = 'RP002', HINT = 'Call relpack.reach().';
    ELSIF v_storage.graph NOT IN ('current', 'doubtful') THEN
        RAISE EXCEPTION 'the graph is not built yet'
            USING ERRCODE = 'RP002', HINT = 'Run "relpack pack --dry-run": it builds the graph and deletes nothing.';
    END IF;
    IF v_doubt IS NOT NULL THEN
        RAISE EXCEPTION 'the graph may not match the storage: %', v_doubt
            USING ERRCODE = 'RP002', HINT = 'Run "relpack pack": it compares the two.';
    END IF;
    IF v_difference IS NOT NULL THEN
        RAISE EXCEPTION 'the graph does not describe the storage: %', v_difference
            USING ERRCODE = 'RP002', HINT = 'Run "relpack pack": it reads everything again, and mends the graph.';
    END IF;
    IF v_storage.applied_tid <> v_storage.watermark
       OR EXISTS (SELECT FROM relpack.pending) THEN
        RAISE EXCEPTION 'captured changes are not applied yet'
            USING ERRCODE = 'RP002', HINT = 'Run "relpack pack".';
    END IF;
    IF v_storage.resettle OR EXISTS (SELECT FROM relpack.suspect) THEN
        RAISE EXCEPTION 'the reachability of some objects is not settled yet'
            USING ERRCODE = 'RP002', HINT = 'Call relpack.reach().';
    END IF;
    SELECT string_agg(format('zoid %s: %s', few.zoid, few.detail), '; ' ORDER BY few.zoid)
    INTO v_problems
    FROM (
        SELECT problem.zoid, problem.detail
        FROM relpack.problem
        WHERE problem.blocks
          AND EXISTS (SELECT FROM relpack.object WHERE object.zoid = problem.zoid AND object.parent IS NOT NULL OFFSET 0)
        ORDER BY problem.zoid
        LIMIT 10
    ) AS few;
    IF v_problems IS NOT NULL THEN
        RAISE EXCEPTION 'reachable objects can''t be decoded: what they refer to is unknown'
            USING ERRCODE = 'RP002', DETAIL = v_problems,
                  HINT = concat(
                      'Restore these objects, or cut them off: "relpack check" says where they are. '
                      'To list them all: SELECT * FROM relpack.problem WHERE blocks;',
                      CASE WHEN v_storage.keeps_history
                      THEN ' If these are old revisions that the next pack removes: "relpack pack --dry-run" goes by its time.' END);
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_settled() IS
    'Raises RP002 unless the graph is current, trusted, found to be right where it was audited, up to what was '
    'captured, settled, and free of undecodable live objects, and unless deleting an object changes nothing else.';
