-- Half a million objects each, and two at least, by some 30,000 of them.
CREATE OR REPLACE FUNCTION relpack.list_ranges()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_ranges bigint;
    v_sample float8;
BEGIN
    SELECT greatest(objects / 500000, 2), least(3e6 / greatest(objects, 1), 100)
    INTO v_ranges, v_sample
    FROM relpack.storage;
    INSERT INTO relpack.fill_range (first_zoid, last_zoid)
    SELECT edge, coalesce(lead(edge) OVER (ORDER BY edge) - 1, 9223372036854775807)
    FROM (
        SELECT '-9223372036854775808'::bigint AS edge
        UNION
        SELECT unnest(percentile_disc(ARRAY(SELECT nth::float8 / v_ranges FROM generate_series(1, v_ranges - 1) AS nth))
                      WITHIN GROUP (ORDER BY zoid))
        FROM (
            SELECT zoid FROM relpack.staged_object TABLESAMPLE SYSTEM (v_sample)
            UNION ALL
            SELECT zoid FROM relpack.object TABLESAMPLE SYSTEM (v_sample)
        ) AS sampled
    ) AS edges
    WHERE edge IS NOT NULL;
END;
$$;

COMMENT ON FUNCTION relpack.list_ranges() IS
    'Step of relpack.build_step() and relpack.reshape(): lists the ranges of zoids whose parents are chosen one after '
    'the other, in relpack.fill_range.';
