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
            WHEN storage.only_row IS NULL
                THEN 'relpack.storage has lost its row'
            WHEN storage.graph = 'doubtful'
                THEN 'a comparison with the storage is due'
            WHEN storage.reread
                THEN 'every state is to be read again'
            WHEN storage.relation IS DISTINCT FROM to_regclass('public.object_state')::oid
                THEN 'object_state is another table than before'
            WHEN storage.graph_identity IS DISTINCT FROM relpack.graph_identity()
                THEN 'relpack''s own tables were emptied, rewritten or restored'
            -- What is restored without its data. A root refers to something,
            -- unless all but itself is garbage.
            WHEN NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = 0 AND object.parent = 0)
                 OR (storage.inrefs > 0
                     AND NOT EXISTS (SELECT FROM relpack.object_inref WHERE object_inref.inref = 0)
                     AND NOT EXISTS (SELECT FROM relpack.object_inref))
                THEN 'the graph is not there any more'
            WHEN split_part(storage.trigger_identity, ' schema:', 1) IS DISTINCT FROM split_part(found.identity, ' schema:', 1)
                THEN 'relpack''s triggers were disabled or replaced for a while'
            WHEN storage.trigger_identity IS DISTINCT FROM found.identity
                THEN 'rights on the schema relpack were changed, or it or a table of it was renamed for a while'
            WHEN storage.trigger_identity LIKE '%subscribed:%'
                THEN 'object_state receives rows by logical replication, which fires no triggers'
            WHEN storage.column_identity IS DISTINCT FROM relpack.column_identity()
                THEN 'columns of object_state were altered'
            -- A TRUNCATE gives another file too, and has left an event.
            WHEN storage.filenode IS DISTINCT FROM pg_relation_filenode('public.object_state')::oid
                 AND NOT EXISTS (SELECT FROM relpack.write_event WHERE kind = 'truncated')
                THEN 'object_state was rewritten'
            WHEN storage.watermark > coalesce(relpack.newest_tid(), 0)
                THEN 'the storage has gone back to an earlier transaction'
            END
        FROM (SELECT relpack.trigger_identity() AS identity) AS found
        LEFT JOIN relpack.storage ON true);
END;
$$;

COMMENT ON FUNCTION relpack.doubt() IS
    'Why the graph may not match the storage; NULL when it does. '
    '"relpack pack" then compares every object''s tid and decodes what differs.';
