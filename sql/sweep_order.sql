-- Small objects come first, so that a piece says something about the next. Those
-- of about one size go in the order of their zoids: neighbours lie on the same
-- pages, of the tables and of their indexes. Called with the settings of
-- relpack.sweep_batch().
CREATE OR REPLACE FUNCTION relpack.sweep_order(
    chosen bigint[], OUT zoids bigint[], OUT weights bigint[], OUT plain integer)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT array_agg(sized.zoid), array_agg(sized.weight), count(*) FILTER (WHERE NOT sized.blob)
    INTO zoids, weights, plain
    FROM (
        SELECT object.zoid, object.class = 1 AS blob, sum(1 + object.size / 8192) OVER by_size AS weight
        FROM relpack.object
        WHERE object.zoid = ANY (chosen) AND object.parent IS NULL
        WINDOW by_size AS (ORDER BY object.class = 1, object.size / 2048, object.zoid ROWS UNBOUNDED PRECEDING)
        ORDER BY object.class = 1, object.size / 2048, object.zoid
    ) AS sized;
END;
$$;

COMMENT ON FUNCTION relpack.sweep_order(bigint[]) IS
    'Step of relpack.sweep(): a batch in the order in which it is deleted, blobs last. '
    'weights: what it takes up to each object; an object, or a page of its state, is one. plain: so many are no blobs.';
