-- Of what is chosen for deletion a few at random, and no more than some bytes
-- of states (but for the last of them): all are held in memory at once.
CREATE OR REPLACE FUNCTION relpack.audit_sample(objects integer, bytes bigint)
RETURNS bigint[]
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(taken.zoid), '{}')
    FROM (
        SELECT picked.zoid, sum(object.size) OVER (ORDER BY picked.zoid) - object.size AS before
        FROM (SELECT doomed.zoid FROM relpack.doomed ORDER BY random() LIMIT objects) AS picked
        CROSS JOIN LATERAL (
            SELECT node.size FROM relpack.object AS node WHERE node.zoid = picked.zoid OFFSET 0
        ) AS object
    ) AS taken
    WHERE taken.before < bytes;
$$;

COMMENT ON FUNCTION relpack.audit_sample(integer, bigint) IS
    'Step of "relpack pack": up to so many of the objects chosen for deletion, at random, to be read again before the first of them goes.';
