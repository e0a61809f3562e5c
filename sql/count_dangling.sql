-- Both sides are read in the order of their primary keys, or hashed, whatever
-- is cheaper: nothing is looked up one by one.
CREATE OR REPLACE FUNCTION relpack.count_dangling()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
SET enable_nestloop = off
AS $$
DECLARE
    v_count bigint;
BEGIN
    PERFORM relpack.clear_scratch('relpack.dangling');
    INSERT INTO relpack.dangling (zoid)
    SELECT DISTINCT edge.zoid
    FROM relpack.object_inref AS edge
    WHERE NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = edge.zoid);
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END;
$$;

COMMENT ON FUNCTION relpack.count_dangling() IS
    'Fills relpack.dangling anew from the whole graph, in a first build and in "relpack verify --repair"; returns how many there are.';
