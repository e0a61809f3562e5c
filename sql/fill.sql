-- A range of zoids, once: who locks its row in fill_range fills it, so that
-- several sessions can. Both sides of the joins are read in the order of their
-- indexes. The parent of what the first pass of relpack.grow() reached is one
-- that it reached and that has a lower zoid, so that parents can't form a circle;
-- of several the least, since what is old is near the root: with the nearest
-- the buckets of a BTree, which refer to the next, become a chain.
CREATE OR REPLACE FUNCTION relpack.fill()
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
    v_reached bigint[];
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
    SELECT zoids INTO STRICT v_reached FROM relpack.reached;
    v_end := cardinality(v_reached)::bigint << 6;
    INSERT INTO relpack.object (zoid, tid, parent, class, size)
    SELECT staged.zoid, staged.tid,
           CASE WHEN staged.zoid = 0 THEN 0
                WHEN staged.zoid BETWEEN 0 AND v_end - 1
                     AND (v_reached[staged.zoid >> 6] >> (staged.zoid & 63)::integer) & 1 = 1 THEN least.inref
                ELSE tree.parent
           END,
           staged.class, staged.size
    FROM relpack.staged_object AS staged
    LEFT JOIN relpack.tree ON tree.zoid = staged.zoid AND tree.zoid BETWEEN v_range.first_zoid AND v_range.last_zoid
    LEFT JOIN (
        SELECT DISTINCT ON (zoid) zoid, inref
        FROM relpack.object_inref
        WHERE zoid BETWEEN v_range.first_zoid AND v_range.last_zoid
          AND inref BETWEEN 0 AND zoid - 1
          AND (v_reached[CASE WHEN inref BETWEEN 0 AND v_end - 1 THEN inref >> 6 END] >> (inref & 63)::integer) & 1 = 1
        ORDER BY zoid, inref
    ) AS least ON least.zoid = staged.zoid
    WHERE staged.zoid BETWEEN v_range.first_zoid AND v_range.last_zoid;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    DELETE FROM relpack.fill_range WHERE first_zoid = v_range.first_zoid;
    RETURN v_rows;
END;
$$;

COMMENT ON FUNCTION relpack.fill() IS
    'Step of relpack.build_step(): enters a range of the objects that were read, with the parents that relpack.grow() found, into relpack.object; returns how many, NULL when no range is left. A second session may call it too.';
