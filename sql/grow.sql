-- One step of the breadth-first walk from the root. tree is only appended to:
-- the last level begins at frontier_block. Small frontiers go many levels at
-- once, as in relpack.flow(); when that stops at its limit, the level is not
-- closed, and the next step expands all of it.
CREATE OR REPLACE FUNCTION relpack.grow()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = on
SET enable_hashjoin = on
SET enable_mergejoin = on
SET plan_cache_mode = force_custom_plan
SET work_mem = '64MB'
AS $$
DECLARE
    v_rows bigint;
    v_block bigint;
    v_from tid;
    v_level integer;
    v_end bigint;
BEGIN
    SELECT frontier_rows, frontier_block
    INTO v_rows, v_block
    FROM relpack.storage;
    v_from := format('(%s,0)', v_block)::tid;
    SELECT max(level) INTO v_level FROM relpack.tree WHERE ctid >= v_from;
    IF v_rows <= 1000 THEN
        v_rows := relpack.grow_narrow(v_from, v_level);
        UPDATE relpack.storage SET frontier_rows = v_rows;
        RETURN v_rows;
    END IF;
    v_end := pg_relation_size('relpack.tree') / current_setting('block_size')::bigint;
    PERFORM relpack.choose_plan(v_rows);
    INSERT INTO relpack.tree (zoid, parent, level)
    SELECT object_inref.zoid, min(object_inref.inref), v_level + 1
    FROM relpack.tree AS frontier
    JOIN relpack.object_inref ON object_inref.inref = frontier.zoid
    WHERE frontier.ctid >= v_from
      AND frontier.level = v_level
      AND NOT EXISTS (SELECT FROM relpack.tree AS reached WHERE reached.zoid = object_inref.zoid)
    GROUP BY object_inref.zoid;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    UPDATE relpack.storage
    SET frontier_rows = v_rows,
        frontier_block = greatest(v_end - 1, 0);
    RETURN v_rows;
END;
$$;

COMMENT ON FUNCTION relpack.grow() IS
    'Step of relpack.build_step(): adds to relpack.tree what its last level refers to; returns how many objects that were, 0 at the end.';
