-- New parents for all objects, in place, from the references that are recorded:
-- what is dearer to climb or to cut than that is settled by it, and the tree is
-- as shallow as it can be afterwards. One step a call: the levels, then a range of
-- zoids each. Between the steps parents mean nothing, which the state "reshaping"
-- tells everybody. What is cut off by it is so as of this run; what was cut off
-- before keeps its detached_tid. A range is read in the order of the indexes: other
-- than in the rest of relpack.reach_step(), merging is cheapest.
CREATE OR REPLACE FUNCTION relpack.reshape()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_mergejoin = on
SET enable_nestloop = on
SET enable_material = on
SET enable_hashagg = off
SET enable_sort = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_range relpack.fill_range;
    v_reached record;
    v_sparse boolean;
    v_end bigint;
    v_zoids bigint[];
    v_inrefs bigint[];
BEGIN
    PERFORM relpack.require_pack_lock();
    IF NOT EXISTS (SELECT FROM relpack.storage WHERE graph = 'reshaping') THEN
        -- At its end this calls a graph current that may not have been compared.
        RAISE EXCEPTION 'no new parents are being chosen' USING ERRCODE = 'RP002', HINT = 'Call relpack.reach().';
    END IF;
    IF NOT EXISTS (SELECT FROM relpack.reached) THEN
        PERFORM relpack.build_mark();
        PERFORM relpack.list_ranges();
        RETURN;
    END IF;
    SELECT fill_range.* INTO v_range FROM relpack.fill_range ORDER BY first_zoid LIMIT 1;
    IF NOT FOUND THEN
        PERFORM relpack.scratch_clear('relpack.reached');
        UPDATE relpack.storage
        SET graph = CASE WHEN scan_disturbed THEN 'doubtful' ELSE 'current' END,
            scan_disturbed = false;
        RETURN;
    END IF;
    SELECT depths || ''::bytea AS depths, zoids || '{}'::bigint[] AS zoids, zoids IS NOT NULL AS sparse
    INTO STRICT v_reached
    FROM relpack.reached;
    v_sparse := v_reached.sparse;
    v_end := length(v_reached.depths);
    PERFORM set_config('enable_nestloop', 'off', true);
    SELECT array_agg(object.zoid), array_agg(above.inref)
    INTO v_zoids, v_inrefs
    FROM relpack.object
    LEFT JOIN (
        SELECT DISTINCT ON (edge.zoid) edge.zoid, edge.inref
        FROM relpack.object_inref AS edge
        WHERE edge.zoid BETWEEN v_range.first_zoid AND v_range.last_zoid
          AND relpack.build_level(edge.zoid, v_reached.depths, v_sparse, v_reached.zoids, v_end)
              = 1 + relpack.build_level(edge.inref, v_reached.depths, v_sparse, v_reached.zoids, v_end)
        ORDER BY edge.zoid, edge.inref
    ) AS above ON above.zoid = object.zoid
    WHERE object.zoid BETWEEN v_range.first_zoid AND v_range.last_zoid
      AND object.zoid <> 0
      AND object.parent IS DISTINCT FROM above.inref;
    PERFORM set_config('enable_nestloop', 'on', true), set_config('enable_mergejoin', 'off', true);
    UPDATE relpack.object
    SET parent = chosen.inref,
        detached_tid = CASE WHEN chosen.inref IS NULL THEN (SELECT detach_tid FROM relpack.storage) END
    FROM unnest(v_zoids, v_inrefs) AS chosen (zoid, inref)
    WHERE object.zoid = chosen.zoid;
    DELETE FROM relpack.fill_range WHERE first_zoid = v_range.first_zoid;
END;
$$;

COMMENT ON FUNCTION relpack.reshape() IS
    'Step of relpack.reach(), once relpack.begin_reshape() was called: the levels of all objects, then the parents of '
    'a range of them, or the end of it.';
