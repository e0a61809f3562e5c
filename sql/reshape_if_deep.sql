-- Changes make the tree deeper little by little. Whether a thousand random objects
-- have twice as many parents above them as on average after it was last shaped
-- is looked at once a day at most. The walk stops where it is known.
CREATE OR REPLACE FUNCTION relpack.reshape_if_deep()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET max_parallel_workers_per_gather = 0
AS $$
DECLARE
    v_storage relpack.storage;
    v_highest bigint;
    v_sampled bigint[];
    v_most bigint;
    v_above bigint;
BEGIN
    PERFORM relpack.require_pack_lock();
    v_storage := relpack.known_storage();
    IF v_storage.graph NOT IN ('current', 'doubtful') OR EXISTS (SELECT FROM relpack.suspect)
       OR v_storage.shaped_depth IS NULL OR v_storage.depth_looked_at > clock_timestamp() - interval '1 day' THEN
        RETURN false;
    END IF;
    UPDATE relpack.storage SET depth_looked_at = clock_timestamp();
    v_highest := (SELECT max(zoid) FROM relpack.object);
    SELECT coalesce(array_agg(sampled.zoid), '{}')
    INTO v_sampled
    FROM (SELECT (random() * v_highest)::bigint AS zoid FROM generate_series(1, 1000) OFFSET 0) AS random
    CROSS JOIN LATERAL (
        SELECT zoid, parent FROM relpack.object WHERE zoid >= random.zoid ORDER BY zoid LIMIT 1
    ) AS sampled
    WHERE sampled.parent IS NOT NULL;
    v_most := ceil(2 * v_storage.shaped_depth * cardinality(v_sampled));
    WITH RECURSIVE way (parent) AS (
        SELECT object.parent
        FROM unnest(v_sampled) AS sampled (zoid)
        JOIN relpack.object ON object.zoid = sampled.zoid
        WHERE object.zoid <> 0
        UNION ALL
        SELECT object.parent
        FROM way
        JOIN relpack.object ON object.zoid = way.parent
        WHERE way.parent <> 0
    )
    SELECT count(*) INTO v_above FROM (SELECT FROM way LIMIT v_most) AS bounded;
    IF v_most = 0 OR v_above < v_most THEN
        RETURN false;
    END IF;
    PERFORM relpack.begin_reshape('the tree has become twice as deep as it was');
    RETURN true;
END;
$$;

COMMENT ON FUNCTION relpack.reshape_if_deep() IS
    'Once a day at most, looks how deep the tree has become, and has relpack.reach() make it shallow again if that is '
    'twice as deep as it was; true if so.';
