-- Disabling and enabling a trigger leaves a trace in xmin of its catalog row,
-- dropping and creating it in its oid; renaming a table or moving it to another
-- schema in xmin of its row type's, which nothing else but another owner changes; a
-- table subscribed to a publication gets rows without firing statement triggers
-- (PostgreSQL manual, "Logical Replication: Architecture").
-- The triggers are silent where there is no relpack.storage, as in a dump that was restored
-- without relpack's tables: the site goes on. But the schema or its tables may only have
-- another name for a while, or a copy be in their place, which is told instead. To rename a
-- schema leaves a trace in xmin of its row, and so does a GRANT on it.
-- Names are looked up once, not for each row of the catalogs, and rows go by
-- index: every capture asks this, and every sweep while it holds up writers.
-- Without variables the plan is kept where those of a sweep are made again.
CREATE OR REPLACE FUNCTION relpack.trigger_identity()
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT concat_ws(' ',
            string_agg(concat(tgname, ':', pg_trigger.oid, ':', pg_trigger.xmin, ':', tgenabled), ' ' ORDER BY tgname, pg_trigger.oid),
            -- Renamed or moved away for a while, the table reported nothing.
            (SELECT 'named:' || pg_type.xmin
             FROM pg_class
             JOIN pg_type ON pg_type.oid = pg_class.reltype
             WHERE pg_class.oid = to_regclass('public.object_state')),
            (SELECT 'subscribed:' || string_agg(srsubid::text, ',' ORDER BY srsubid)
             FROM pg_subscription_rel
             WHERE srrelid = (SELECT to_regclass('public.object_state'))),
            (SELECT 'schema:' || pg_namespace.oid || ':' || pg_namespace.xmin FROM pg_namespace WHERE nspname = 'relpack'),
            (SELECT 'told:' || string_agg(concat(pg_type.oid, ':', pg_type.xmin), ',' ORDER BY pg_type.oid)
             FROM unnest(ARRAY[to_regclass('relpack.storage'),
                               to_regclass('relpack.write_event'),
                               to_regclass('relpack.blob_removal'),
                               to_regclass('relpack.committed')]::oid[]) AS told (relation)
             JOIN pg_class ON pg_class.oid = told.relation
             JOIN pg_type ON pg_type.oid = pg_class.reltype))
        FROM unnest(ARRAY[to_regclass('public.object_state'),
                          to_regclass('relpack.object'),
                          to_regclass('relpack.object_inref'),
                          to_regclass('relpack.missing'),
                          to_regclass('relpack.write_event'),
                          to_regclass('relpack.pending'),
                          to_regclass('relpack.suspect'),
                          to_regclass('relpack.problem'),
                          to_regclass('relpack.foreign_reference'),
                          to_regclass('relpack.capture')]::oid[]) AS reporting (relation)
        JOIN pg_trigger ON tgrelid = reporting.relation
        WHERE tgname LIKE 'relpack\_%');
END;
$$;

COMMENT ON FUNCTION relpack.trigger_identity() IS
    'Catalog identity of relpack''s triggers, of the schema and the tables that they write to, and of subscriptions to '
    'object_state: another one than in relpack.storage.trigger_identity means that writes may have gone unreported.';
