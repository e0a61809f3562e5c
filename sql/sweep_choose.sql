-- Referrers no later than what they refer to: the batch is closed under doomed
-- referrers where that fits, so that nothing that remains refers to what is
-- gone. A component larger than the batch is begun, and finished by the next:
-- no order would keep a circle whole, and those of a site, whose objects refer
-- to what they are in, are as large as what was deleted. So a few objects at a
-- time are added with all that refers to them, as long as that fits: what does
-- not was walked for nothing, and that is little where the batch is nearly full.
-- Little work_mem, and subqueries, for the reasons that relpack.reach_flow_deep() has.
CREATE OR REPLACE FUNCTION relpack.sweep_choose(batch integer)
RETURNS bigint[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_material = off
SET enable_memoize = off
SET max_parallel_workers_per_gather = 0
SET work_mem = '64kB'
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_batch bigint[] := ARRAY[]::bigint[];
    v_last bigint := -9223372036854775808;
    v_step bigint := greatest(batch / 32, 1);  -- so many are tried at a time
    v_first bigint[];
    v_more bigint[];
    v_fits bigint;
    -- A large object unlinked takes a lock until the transaction ends.
    v_locks bigint := current_setting('max_locks_per_transaction')::bigint
                      * current_setting('max_connections')::bigint / 4;
BEGIN
    LOOP
        v_first := ARRAY(
            SELECT zoid
            FROM relpack.doomed
            WHERE zoid > v_last AND zoid NOT IN (SELECT unnest(v_batch))
            ORDER BY zoid
            LIMIT least(v_step, batch - cardinality(v_batch))
        );
        EXIT WHEN cardinality(v_first) = 0;
        v_more := v_batch || v_first;
        -- Most referrers are there already: those are not walked from.
        v_more := v_more || ARRAY(
            WITH RECURSIVE closed (zoid) AS (
                SELECT object_inref.inref
                FROM relpack.object_inref
                CROSS JOIN LATERAL (
                    SELECT FROM relpack.doomed WHERE zoid = object_inref.inref OFFSET 0
                ) AS chosen
                WHERE object_inref.zoid = ANY (v_first) AND object_inref.inref NOT IN (SELECT unnest(v_more))
                UNION
                SELECT referrer.zoid
                FROM closed
                CROSS JOIN LATERAL (
                    SELECT inref AS zoid FROM relpack.object_inref WHERE zoid = closed.zoid OFFSET 0
                ) AS referrer
                CROSS JOIN LATERAL (
                    SELECT FROM relpack.doomed WHERE zoid = referrer.zoid OFFSET 0
                ) AS chosen
                WHERE referrer.zoid NOT IN (SELECT unnest(v_more))
            )
            SELECT zoid FROM closed LIMIT batch + 1 - cardinality(v_more)
        );
        v_fits := relpack.sweep_fit(v_more, batch, v_locks);
        IF v_fits = cardinality(v_more) THEN
            v_batch := v_more;
            v_last := v_first[cardinality(v_first)];
            v_step := v_step * 2;
        ELSIF v_step = 1 AND v_batch = '{}' THEN
            -- Of what is too large by itself the first part.
            v_batch := v_more[1:v_fits];
            EXIT;
        ELSE
            EXIT WHEN v_step = 1 OR cardinality(v_batch) >= batch / 2;
            v_step := greatest(v_step / 4, 1);
        END IF;
    END LOOP;
    RETURN nullif(v_batch, '{}');
END;
$$;

COMMENT ON FUNCTION relpack.sweep_choose(integer) IS
    'The next objects of relpack.doomed to delete together: with all doomed objects that refer to them where that '
    'fits the batch, and with no more large objects than a quarter of the lock table.';
