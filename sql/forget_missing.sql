-- Nothing hangs on a node that is detached, so that it can go without a walk.
-- Only where nothing is left to apply: what is still to be read may refer to it.
-- One without a node tells of a graph that is lost (relpack.graph_lost).
CREATE OR REPLACE FUNCTION relpack.forget_missing()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
AS $$
DECLARE
    v_limit constant bigint := (relpack.walk_limits()).together;
    v_gone bigint[];
    v_objects bigint;
    v_inrefs bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM relpack.missing) OR EXISTS (SELECT FROM relpack.pending) THEN
        RETURN 0;
    END IF;
    v_gone := ARRAY(
        SELECT missing.zoid
        FROM relpack.missing
        CROSS JOIN LATERAL (
            SELECT object.parent FROM relpack.object WHERE object.zoid = missing.zoid OFFSET 0
        ) AS node
        WHERE node.parent IS NULL
        LIMIT v_limit);
    IF v_gone = '{}' THEN
        RETURN 0;
    END IF;
    DELETE FROM relpack.object_inref WHERE inref = ANY (v_gone);
    GET DIAGNOSTICS v_inrefs = ROW_COUNT;
    DELETE FROM relpack.object WHERE zoid = ANY (v_gone);
    GET DIAGNOSTICS v_objects = ROW_COUNT;
    DELETE FROM relpack.foreign_reference WHERE inref = ANY (v_gone);
    DELETE FROM relpack.problem WHERE zoid = ANY (v_gone);
    DELETE FROM relpack.doomed WHERE zoid = ANY (v_gone);
    DELETE FROM relpack.missing WHERE zoid = ANY (v_gone);
    INSERT INTO relpack.dangling (zoid)
    SELECT gone.zoid
    FROM unnest(v_gone) AS gone (zoid)
    WHERE EXISTS (SELECT FROM relpack.object_inref WHERE object_inref.zoid = gone.zoid OFFSET 0)
    ON CONFLICT DO NOTHING;
    UPDATE relpack.storage
    SET objects = objects - v_objects, inrefs = inrefs - v_inrefs, doomed_tid = 0;
    RETURN cardinality(v_gone);
END;
$$;

COMMENT ON FUNCTION relpack.forget_missing() IS
    'Last step of relpack.reach(): nodes of vanished rows that nothing live refers to leave the graph, some at a time; returns how many.';
