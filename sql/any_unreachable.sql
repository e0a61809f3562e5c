CREATE OR REPLACE FUNCTION relpack.any_unreachable(mentioned bigint[], batch bigint[])
RETURNS boolean
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- NULL: a state whose references are not plain bytes.
    SELECT EXISTS (SELECT FROM unnest(mentioned) AS m WHERE m IS NULL)
        OR EXISTS (SELECT FROM unnest(mentioned) AS m JOIN unnest(batch) AS b ON b = m)
        OR EXISTS (SELECT FROM relpack.object WHERE zoid = ANY (mentioned) AND parent IS NULL);
$$;

COMMENT ON FUNCTION relpack.any_unreachable(bigint[], bigint[]) IS
    'Step of relpack.sweep(): whether any of the objects mentioned is unreachable, in the batch, or unknown (NULL).';
