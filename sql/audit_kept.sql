-- What garbage refers to is often what holds it as long as it is alive: its
-- container, its catalog. A node that is lost counts too.
CREATE OR REPLACE FUNCTION relpack.audit_kept(refs bigint[], objects integer, bytes bigint)
RETURNS bigint[]
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(taken.zoid), '{}')
    FROM (
        SELECT picked.zoid, sum(picked.size) OVER (ORDER BY picked.place) - picked.size AS before
        FROM (
            SELECT kept.zoid, coalesce(object.size, 0) AS size, row_number() OVER (ORDER BY random()) AS place
            FROM (SELECT DISTINCT ref.zoid FROM unnest(refs) AS ref (zoid)) AS kept
            LEFT JOIN LATERAL (
                SELECT node.size FROM relpack.object AS node WHERE node.zoid = kept.zoid OFFSET 0
            ) AS object ON true
            WHERE NOT EXISTS (SELECT FROM relpack.doomed WHERE doomed.zoid = kept.zoid OFFSET 0)
        ) AS picked
        WHERE picked.place <= objects
    ) AS taken
    WHERE taken.before < bytes;
$$;

COMMENT ON FUNCTION relpack.audit_kept(bigint[], integer, bigint) IS
    'Step of "relpack pack": of the objects that a sample of the doomed refers to, up to so many that stay, to be read again.';
