-- One step of the breadth-first walk from the root. The last level begins at
-- frontier_block: that is noted from where its rows really came to lie, as
-- vacuum may have made room for them among those of earlier steps. Small frontiers go many levels at
-- once, as in relpack.flow(); when that stops at its limit, the level is not
-- closed, and the next step expands all of it. Wide ones do without an index
-- on tree, whose upkeep would cost more than the level itself: what was
-- reached is hashed instead.
CREATE OR REPLACE FUNCTION relpack.grow()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = on
SET enable_seqscan = off
SET enable_mergejoin = off
SET enable_bitmapscan = off
SET enable_material = off
SET enable_hashagg = off
SET max_parallel_workers_per_gather = 0
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
BEGIN
    SELECT frontier_rows, frontier_block, objects
    INTO v_rows, v_block, v_objects
    FROM relpack.storage;
    v_from := format('(%s,0)', v_block)::tid;
    SELECT max(level) INTO v_level FROM relpack.tree WHERE ctid >= v_from;
    IF v_rows <= (relpack.limits()).narrow THEN
        CREATE INDEX IF NOT EXISTS tree_zoid ON relpack.tree (zoid);
        v_rows := relpack.grow_narrow(v_from, v_level);
        UPDATE relpack.storage SET frontier_rows = v_rows;
        RETURN v_rows;
    END IF;
    IF v_rows * 50 > v_objects THEN
        DROP INDEX IF EXISTS relpack.tree_zoid;
        -- The walk along the edges is a nested loop all the same.
        PERFORM set_config('enable_nestloop', 'off', true);
    ELSE
        CREATE INDEX IF NOT EXISTS tree_zoid ON relpack.tree (zoid);
        PERFORM set_config('enable_hashjoin', 'off', true);
    END IF;
    WITH grown AS (
        INSERT INTO relpack.tree (zoid, parent, level)
        SELECT edge.zoid, min(edge.inref), v_level + 1
        FROM (
            SELECT target.zoid, frontier.zoid AS inref
            FROM relpack.tree AS frontier
            CROSS JOIN LATERAL (
                SELECT object_inref.zoid
                FROM relpack.object_inref
                WHERE object_inref.inref = frontier.zoid
                OFFSET 0
            ) AS target
            WHERE frontier.ctid >= v_from AND frontier.level = v_level
            OFFSET 0
        ) AS edge
        WHERE NOT EXISTS (SELECT FROM relpack.tree AS reached WHERE reached.zoid = edge.zoid)
        GROUP BY edge.zoid
        RETURNING tree.ctid
    )
    SELECT count(*), (min(ctid)::text::point)[0]::bigint
    INTO v_rows, v_block
    FROM grown;
    UPDATE relpack.storage
    SET frontier_rows = v_rows,
        frontier_block = coalesce(v_block, 0);
    RETURN v_rows;
END;
$$;

COMMENT ON FUNCTION relpack.grow() IS
    'Step of relpack.build_step(): adds to relpack.tree what its last level refers to; returns how many objects that were, 0 at the end.';
