-- A range of zoids, once: who locks its row in fill_range fills it, so that
-- several sessions can. Both sides of the join are read in the order of their
-- indexes. The parent is a referrer on the level above (see relpack.build_mark()), so
-- that parents can't form a circle, and no tree is shallower.
CREATE OR REPLACE FUNCTION relpack.build_enter()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_nestloop = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashagg = off
SET enable_sort = off
SET max_parallel_workers_per_gather = 0
SET plan_cache_mode = force_generic_plan
SET lock_timeout = '500ms'
AS $$
DECLARE
    v_range relpack.fill_range;
    v_reached record;
    v_sparse boolean;
    v_end bigint;
    v_rows bigint;
BEGIN
    SELECT fill_range.* INTO v_range
    FROM relpack.fill_range
    WHERE (SELECT graph FROM relpack.storage) = 'filling'
    ORDER BY first_zoid
    LIMIT 1
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    -- Appended to, they are read from the table once, not for each row.
    SELECT depths || ''::bytea AS depths, zoids || '{}'::bigint[] AS zoids, zoids IS NOT NULL AS sparse
    INTO STRICT v_reached
    FROM relpack.reached;
    v_sparse := v_reached.sparse;
    v_end := length(v_reached.depths);
    INSERT INTO relpack.object (zoid, tid, parent, class, size)
    SELECT staged.zoid, staged.tid,
           CASE staged.zoid WHEN 0 THEN 0 ELSE above.inref END,
           staged.class, staged.size
    FROM relpack.staged_object AS staged
    LEFT JOIN (
        SELECT DISTINCT ON (edge.zoid) edge.zoid, edge.inref
        FROM relpack.object_inref AS edge
        WHERE edge.zoid BETWEEN v_range.first_zoid AND v_range.last_zoid
          AND relpack.build_level(edge.zoid, v_reached.depths, v_sparse, v_reached.zoids, v_end)
              = 1 + relpack.build_level(edge.inref, v_reached.depths, v_sparse, v_reached.zoids, v_end)
        ORDER BY edge.zoid, edge.inref
    ) AS above ON above.zoid = staged.zoid
    WHERE staged.zoid BETWEEN v_range.first_zoid AND v_range.last_zoid;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    DELETE FROM relpack.fill_range WHERE first_zoid = v_range.first_zoid;
    RETURN v_rows;
END;
$$;

COMMENT ON FUNCTION relpack.build_enter() IS
    'Step of relpack.build_step(): enters a range of the objects that were read, with the parents that follow from '
    'what relpack.build_mark() found, into relpack.object; returns how many, NULL when no range is left. '
    'A second session may call it too.';
