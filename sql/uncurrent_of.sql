-- Each look is one by the primary key. Where the newest revision has no state either, that
-- is told of the state.
CREATE OR REPLACE FUNCTION relpack.uncurrent_of(zoids bigint[])
RETURNS SETOF bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
BEGIN
    RETURN QUERY
    SELECT bare.zoid
    FROM (SELECT DISTINCT unnest(zoids) AS zoid ORDER BY 1) AS bare
    CROSS JOIN LATERAL (
        SELECT stored.state IS NULL AS empty
        FROM relpack.stored()
        WHERE stored.zoid = bare.zoid
        ORDER BY stored.tid DESC
        LIMIT 1
    ) AS newest
    WHERE NOT EXISTS (
        SELECT
        FROM public.current_object AS named
        CROSS JOIN LATERAL (
            SELECT stored.state IS NULL AS empty
            FROM relpack.stored()
            WHERE stored.zoid = named.zoid AND stored.tid BETWEEN named.tid AND named.tid
            OFFSET 0
        ) AS loaded
        WHERE named.zoid = bare.zoid AND (newest.empty OR NOT loaded.empty))
    ORDER BY bare.zoid;
END;
$$;

COMMENT ON FUNCTION relpack.uncurrent_of(bigint[]) IS
    'Of which of these objects revisions are stored, and current_object names none, or one without a state though the '
    'newest has one: whoever loads them gets a POSKeyError.';
