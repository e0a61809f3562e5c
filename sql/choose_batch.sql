-- Referrers no later than what they refer to: the batch is closed under doomed
-- referrers where that fits, so that nothing that remains refers to what is
-- gone. A component larger than the batch is begun, and finished by the next.
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
AS $$
DECLARE
    v_batch bigint[];
    v_chunks bigint;
    -- A large object unlinked takes a lock until the transaction ends.
    v_locks bigint := current_setting('max_locks_per_transaction')::bigint
                      * current_setting('max_connections')::bigint / 4;
BEGIN
    SELECT array_agg(zoid)
    INTO v_batch
    FROM (SELECT zoid FROM relpack.doomed ORDER BY zoid LIMIT batch + 1) AS everything;
    IF cardinality(v_batch) > batch THEN
        SELECT array_agg(zoid)
        INTO v_batch
        FROM (
            WITH RECURSIVE closed (zoid) AS (
                (SELECT zoid FROM relpack.doomed ORDER BY zoid LIMIT greatest(batch / 2, 1))
                UNION
                SELECT referrer.zoid
                FROM closed
                CROSS JOIN LATERAL (
                    SELECT doomed.zoid
                    FROM relpack.object_inref
                    JOIN relpack.doomed ON doomed.zoid = object_inref.inref
                    WHERE object_inref.zoid = closed.zoid
                    OFFSET 0
                ) AS referrer
            )
            SELECT zoid FROM closed LIMIT batch
        ) AS chosen;
    END IF;
    IF to_regclass('public.blob_chunk') IS NOT NULL THEN
        SELECT count(*) INTO v_chunks FROM public.blob_chunk WHERE zoid = ANY (v_batch);
        IF v_chunks > v_locks THEN
            SELECT array_agg(counted.zoid)
            INTO v_batch
            FROM (
                SELECT chosen.zoid, chosen.place,
                       sum((SELECT count(*) FROM public.blob_chunk WHERE blob_chunk.zoid = chosen.zoid))
                           OVER (ORDER BY chosen.place) AS chunks
                FROM unnest(v_batch) WITH ORDINALITY AS chosen (zoid, place)
            ) AS counted
            WHERE counted.chunks <= v_locks OR counted.place = 1;
        END IF;
    END IF;
    RETURN v_batch;
END;
$$;

COMMENT ON FUNCTION relpack.choose_batch(integer) IS
    'The next objects of relpack.doomed to delete together: with all doomed objects that refer to them where that fits the batch, and with no more large objects than a quarter of the lock table.';
