-- Referrers no later than what they refer to: the batch is closed under doomed
-- referrers where that fits, so that nothing that remains refers to what is
-- gone. A component larger than the batch is begun, and finished by the next:
-- no order would keep a circle whole, and those of a site, whose objects refer
-- to what they are in, are as large as what was deleted. Little work_mem, and
-- subqueries, for the reasons that relpack.flow_narrow() has.
CREATE OR REPLACE FUNCTION relpack.choose_batch(batch integer)
RETURNS bigint[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_material = off
SET max_parallel_workers_per_gather = 0
SET work_mem = '64kB'
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_batch bigint[];
    v_first bigint := batch;
    -- A large object unlinked takes a lock until the transaction ends.
    v_locks bigint := current_setting('max_locks_per_transaction')::bigint
                      * current_setting('max_connections')::bigint / 4;
    v_fits bigint;
BEGIN
    -- All that is doomed, else fewer and fewer with what refers to them.
    IF (SELECT count(*) FROM (SELECT FROM relpack.doomed LIMIT batch + 1) AS few) > batch THEN
        v_first := greatest(batch * 9 / 10, 1);
    END IF;
    LOOP
        v_batch := ARRAY(SELECT zoid FROM relpack.doomed ORDER BY zoid LIMIT v_first);
        -- Most referrers are in the batch already: those are not walked from.
        v_batch := v_batch || ARRAY(
            WITH RECURSIVE closed (zoid) AS (
                SELECT object_inref.inref
                FROM relpack.object_inref
                CROSS JOIN LATERAL (
                    SELECT FROM relpack.doomed WHERE zoid = object_inref.inref OFFSET 0
                ) AS chosen
                WHERE object_inref.zoid = ANY (v_batch) AND object_inref.inref NOT IN (SELECT unnest(v_batch))
                UNION
                SELECT referrer.zoid
                FROM closed
                CROSS JOIN LATERAL (
                    SELECT inref AS zoid FROM relpack.object_inref WHERE zoid = closed.zoid OFFSET 0
                ) AS referrer
                CROSS JOIN LATERAL (
                    SELECT FROM relpack.doomed WHERE zoid = referrer.zoid OFFSET 0
                ) AS chosen
                WHERE referrer.zoid NOT IN (SELECT unnest(v_batch))
            )
            SELECT zoid FROM closed LIMIT batch + 1 - cardinality(v_batch)
        );
        v_fits := relpack.batch_that_fits(v_batch, batch, v_locks);
        EXIT WHEN v_fits = cardinality(v_batch);
        IF v_first = 1 THEN
            -- Of what is too large by itself the first part.
            v_batch := v_batch[1:v_fits];
            EXIT;
        END IF;
        v_first := greatest(v_first / 2, 1);
    END LOOP;
    RETURN nullif(v_batch, '{}');
END;
$$;

COMMENT ON FUNCTION relpack.choose_batch(integer) IS
    'The next objects of relpack.doomed to delete together: with all doomed objects that refer to them where that fits the batch, and with no more large objects than a quarter of the lock table.';
