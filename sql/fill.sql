-- A range of blocks of staged_object, once: who locks its row in scan_range
-- fills it, so that several sessions can.
CREATE OR REPLACE FUNCTION relpack.fill()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_mergejoin = off
SET enable_nestloop = off
SET max_parallel_workers_per_gather = 0
SET plan_cache_mode = force_custom_plan
SET work_mem = '64MB'
SET lock_timeout = '500ms'
AS $$
DECLARE
    v_range relpack.scan_range;
    v_rows bigint;
BEGIN
    SELECT scan_range.* INTO v_range
    FROM relpack.scan_range
    WHERE (SELECT graph FROM relpack.storage) = 'filling'
    ORDER BY first_block
    LIMIT 1
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    INSERT INTO relpack.object (zoid, tid, parent, class, size)
    SELECT staged.zoid, staged.tid, tree.parent, staged.class, staged.size
    FROM relpack.staged_object AS staged
    LEFT JOIN relpack.tree ON tree.zoid = staged.zoid
    WHERE staged.ctid >= format('(%s,0)', v_range.first_block)::tid
      AND staged.ctid < format('(%s,0)', v_range.last_block + 1)::tid;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    DELETE FROM relpack.scan_range WHERE first_block = v_range.first_block;
    RETURN v_rows;
END;
$$;

COMMENT ON FUNCTION relpack.fill() IS
    'Step of relpack.build_step(): enters a range of the objects that were read, with the parents that the walk found, into relpack.object; returns how many, NULL when no range is left. A second session may call it too.';
