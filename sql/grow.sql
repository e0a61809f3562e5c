-- One step of the breadth-first walk from the root. tree is only appended to:
-- the last level begins at frontier_block. Small frontiers go many levels at
-- once, as in relpack.flow(); when that stops at its limit, the level is not
-- closed, and the next step expands all of it. Wide ones do without an index
-- on tree, whose upkeep would cost more than the level itself: what was
-- reached is hashed instead.
CREATE OR REPLACE FUNCTION relpack.grow()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = on
SET enable_hashjoin = on
SET enable_mergejoin = off
SET plan_cache_mode = force_custom_plan
SET work_mem = '64MB'
SET client_min_messages = warning
AS $$
DECLARE
    v_rows bigint;
    v_objects bigint;
    v_block bigint;
    v_from tid;
    v_level integer;
    v_end bigint;
BEGIN
    SELECT frontier_rows, frontier_block, objects
    INTO v_rows, v_block, v_objects
    FROM relpack.storage;
    v_from := format('(%s,0)', v_block)::tid;
    SELECT max(level) INTO v_level FROM relpack.tree WHERE ctid >= v_from;
    IF v_rows <= 1000 THEN
        CREATE INDEX IF NOT EXISTS tree_zoid ON relpack.tree (zoid);
        v_rows := relpack.grow_narrow(v_from, v_level);
        UPDATE relpack.storage SET frontier_rows = v_rows;
        RETURN v_rows;
    END IF;
    IF v_rows * 50 > v_objects THEN
        DROP INDEX IF EXISTS relpack.tree_zoid;
        -- For the most part of the graph one pass over all edges is cheaper.
        PERFORM set_config('enable_nestloop', CASE WHEN v_rows * 4 > v_objects THEN 'off' ELSE 'on' END, true);
    ELSE
        CREATE INDEX IF NOT EXISTS tree_zoid ON relpack.tree (zoid);
        PERFORM set_config('enable_hashjoin', 'off', true);
    END IF;
    v_end := pg_relation_size('relpack.tree') / current_setting('block_size')::bigint;
    INSERT INTO relpack.tree (zoid, parent, level)
    SELECT edge.zoid, min(frontier.zoid), v_level + 1
    FROM relpack.tree AS frontier
    JOIN LATERAL (
        SELECT object_inref.zoid
        FROM relpack.object_inref
        WHERE object_inref.inref = frontier.zoid
    ) AS edge ON true
    WHERE frontier.ctid >= v_from
      AND frontier.level = v_level
      AND NOT EXISTS (SELECT FROM relpack.tree AS reached WHERE reached.zoid = edge.zoid)
    GROUP BY edge.zoid;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    UPDATE relpack.storage
    SET frontier_rows = v_rows,
        frontier_block = greatest(v_end - 1, 0);
    RETURN v_rows;
END;
$$;

COMMENT ON FUNCTION relpack.grow() IS
    'Step of relpack.build_step(): adds to relpack.tree what its last level refers to; returns how many objects that were, 0 at the end.';
