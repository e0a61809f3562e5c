-- A statement may have taken its snapshot before it waited for a table that an
-- ALTER TABLE or pg_repack was rewriting: it reads that table as empty
-- (PostgreSQL manual, "Caveats" of concurrency control). COPY (query) and STABLE
-- functions do. So whoever reads object_state calls this in a statement of its
-- own first: what comes next looks at what is there, and nobody rewrites it
-- until the transaction ends. Before any other lock that the site may want.
CREATE OR REPLACE FUNCTION relpack.lock_storage(history boolean DEFAULT false)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regclass('public.object_state') IS NULL THEN
        RAISE EXCEPTION 'there is no table public.object_state' USING ERRCODE = 'RP002';
    END IF;
    LOCK TABLE public.object_state IN ACCESS SHARE MODE;
    PERFORM relpack.require_kind(history);
END;
$$;

COMMENT ON FUNCTION relpack.lock_storage(boolean) IS
    'Begins everything that reads object_state: locks it in ACCESS SHARE mode until the transaction ends, as every SELECT '
    'does, but before a snapshot is taken. Raises RP002 where there is no such table, or where the storage is not of this '
    'kind (relpack.require_kind()).';
