-- Asked while writers are held up: PL/pgSQL keeps the parsed statement from
-- one call to the next, a function in SQL would not.
CREATE OR REPLACE FUNCTION relpack.any_unreachable(mentioned bigint[], batch bigint[])
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- NULL: a state whose references are not plain bytes.
    RETURN EXISTS (SELECT FROM unnest(mentioned) AS m WHERE m IS NULL)
        OR EXISTS (SELECT FROM unnest(mentioned) AS m JOIN unnest(batch) AS b ON b = m)
        OR EXISTS (SELECT FROM relpack.object WHERE zoid = ANY (mentioned) AND parent IS NULL);
END;
$$;

COMMENT ON FUNCTION relpack.any_unreachable(bigint[], bigint[]) IS
    'Step of relpack.sweep(): whether any of the objects mentioned is unreachable, in the batch, or unknown (NULL).';
