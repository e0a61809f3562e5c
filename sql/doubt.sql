-- Why the graph may no longer describe the storage. Called by every capture,
-- and by every sweep while it holds up writers: PL/pgSQL keeps the plan from
-- one call to the next, a function in SQL would not.
CREATE OR REPLACE FUNCTION relpack.doubt()
RETURNS text
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regclass('public.object_state') IS NOT NULL THEN
        -- See relpack.lock_storage(), which a role that looks need not be granted.
        LOCK TABLE public.object_state IN ACCESS SHARE MODE;
    END IF;
    RETURN (
        SELECT CASE
            WHEN storage.graph = 'doubtful'
                THEN 'a comparison with the storage is due'
            WHEN storage.relation IS DISTINCT FROM to_regclass('public.object_state')::oid
                THEN 'object_state is another table than before'
            WHEN storage.trigger_identity IS DISTINCT FROM relpack.trigger_identity()
                THEN 'relpack''s triggers were disabled or replaced for a while'
            WHEN storage.trigger_identity LIKE '%subscribed:%'
                THEN 'object_state receives rows by logical replication, which fires no triggers'
            WHEN storage.watermark > coalesce((SELECT max(tid) FROM public.object_state), 0)
                THEN 'the storage has gone back to an earlier transaction'
            END
        FROM relpack.storage);
END;
$$;

COMMENT ON FUNCTION relpack.doubt() IS
    'Why the graph is not believed; NULL when it is. "relpack pack" then compares every object''s tid and decodes what differs.';
