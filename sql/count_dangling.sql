-- A bit for each zoid that the graph has, and one reading of the references:
-- of a million objects with 2.3 million references it takes half as long as to
-- make an index of these, a third of what the cheapest join takes. As in
-- relpack.build_mark(), where zoids are beyond the bits or so sparse that most would be
-- of no use, they are joined. int8send() writes the high byte first, so that the
-- bit of a zoid is at zoid # 56 (XOR).
CREATE OR REPLACE FUNCTION relpack.count_dangling()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
SET enable_hashjoin = off
SET enable_nestloop = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_objects bigint;
    v_end bigint;
    v_bits bytea;
    v_count bigint;
BEGIN
    PERFORM relpack.scratch_clear('relpack.dangling');
    SELECT count(*), least(max(zoid), 9223372036854775806) + 1 INTO v_objects, v_end FROM relpack.object;
    IF v_end BETWEEN 1 AND least(1000 + 64 * v_objects, (relpack.walk_limits()).grow_zoids) THEN
        SELECT string_agg(int8send(coalesce(stored.bits, 0)), '' ORDER BY place.word)
        INTO v_bits
        FROM generate_series(0, v_end >> 6) AS place (word)
        LEFT JOIN (
            SELECT zoid >> 6 AS word, bit_or(1::bigint << (zoid & 63)::integer) AS bits
            FROM relpack.object
            WHERE zoid >= 0
            GROUP BY zoid >> 6
        ) AS stored ON stored.word = place.word;
        INSERT INTO relpack.dangling (zoid)
        SELECT DISTINCT zoid
        FROM relpack.object_inref
        WHERE CASE WHEN zoid BETWEEN 0 AND v_end - 1 THEN get_bit(v_bits, zoid # 56) = 0
                   ELSE zoid >= 0 OR zoid NOT IN (SELECT object.zoid FROM relpack.object WHERE object.zoid < 0) END;
        GET DIAGNOSTICS v_count = ROW_COUNT;
    ELSE
        INSERT INTO relpack.dangling (zoid)
        SELECT DISTINCT edge.zoid
        FROM relpack.object_inref AS edge
        WHERE NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = edge.zoid);
        GET DIAGNOSTICS v_count = ROW_COUNT;
    END IF;
    RETURN v_count;
END;
$$;

COMMENT ON FUNCTION relpack.count_dangling() IS
    'Fills relpack.dangling again from the whole graph, in a first build and in "relpack verify --repair"; returns how many there are.';
