-- A plain state names its class in its first bytes, and zlibstorage (.z) leaves that of
-- a blob plain.
CREATE OR REPLACE FUNCTION relpack.names_blob(state bytea)
RETURNS boolean
LANGUAGE plpgsql
IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE
           WHEN position('ZODB.blob'::bytea IN substring(state FROM 1 FOR 24)) > 0 THEN true
           WHEN substring(state FROM 1 FOR 1) <> '.' OR substring(state FROM 1 FOR 2) = '.z' THEN false
           END;
END;
$$;

COMMENT ON FUNCTION relpack.names_blob(bytea) IS
    'Whether this is the state of a blob; NULL where that can''t be seen, since it is encrypted, or there is none.';
