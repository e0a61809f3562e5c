-- What relpack.verify_graph() checks for all objects, but for circles, which
-- keep garbage: by index, a node after the other.
CREATE OR REPLACE FUNCTION relpack.audit_tree(first_zoid bigint, last_zoid bigint)
RETURNS TABLE (kind text, zoid bigint)
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
    WITH node AS MATERIALIZED (
        SELECT object.zoid, object.parent
        FROM relpack.object
        WHERE object.zoid BETWEEN first_zoid AND last_zoid
          AND NOT EXISTS (SELECT FROM relpack.suspect)
    )
    SELECT 'parent_without_reference', node.zoid
    FROM node
    WHERE node.parent IS NOT NULL
      AND node.zoid <> 0
      AND NOT EXISTS (SELECT FROM relpack.object_inref AS edge
                      WHERE edge.zoid = node.zoid AND edge.inref = node.parent OFFSET 0)
    UNION ALL
    SELECT 'parent_detached', node.zoid
    FROM node
    WHERE node.parent IS NOT NULL
      AND NOT EXISTS (SELECT FROM relpack.object AS parent
                      WHERE parent.zoid = node.parent AND parent.parent IS NOT NULL OFFSET 0)
    UNION ALL
    SELECT 'live_but_detached', node.zoid
    FROM node
    WHERE node.parent IS NULL
      AND EXISTS (SELECT
                  FROM relpack.object_inref AS edge
                  CROSS JOIN LATERAL (
                      SELECT FROM relpack.object AS referrer
                      WHERE referrer.zoid = edge.inref AND referrer.parent IS NOT NULL OFFSET 0
                  ) AS live
                  WHERE edge.zoid = node.zoid);
$$;

COMMENT ON FUNCTION relpack.audit_tree(bigint, bigint) IS
    'Step of "relpack pack": what is wrong with the tree at the objects of a range of zoids.';
