CREATE OR REPLACE FUNCTION relpack.oldest_client()
RETURNS text
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT format('pid %s, application "%s", since %s', pid, application, since::timestamptz(0))
        FROM relpack.other_clients()
        WHERE since IS NOT NULL
        ORDER BY since
        LIMIT 1);
END;
$$;

COMMENT ON FUNCTION relpack.oldest_client() IS
    'Names the other client whose transaction is open for longest; NULL: none is.';
