-- Every object that hangs on the root by parents. No step keeps more than the
-- last level in memory, which spills to disk beyond work_mem, and each object
-- costs an index lookup however deep it lies: hash joins would read the whole
-- graph once a level. PL/pgSQL keeps the plan from one call to the next.
CREATE OR REPLACE FUNCTION relpack.verify_tree()
RETURNS SETOF bigint
LANGUAGE plpgsql
STABLE
ROWS 1000000
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_nestloop = on
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
AS $$
BEGIN
    RETURN QUERY
    WITH RECURSIVE tree (zoid) AS (
        SELECT zoid FROM relpack.object WHERE zoid = 0 AND parent = 0
        UNION ALL
        SELECT object.zoid
        FROM tree
        JOIN relpack.object_inref ON object_inref.inref = tree.zoid
        JOIN relpack.object ON object.zoid = object_inref.zoid
        WHERE object.parent = tree.zoid AND object.zoid <> 0
    )
    SELECT tree.zoid FROM tree;
END;
$$;

COMMENT ON FUNCTION relpack.verify_tree() IS
    'Step of relpack.verify(): the objects whose parents lead to the root, found by walking down from it.';
