-- Disabling and enabling a trigger leaves a trace in xmin of its catalog row,
-- dropping and creating it in its oid; renaming a table or moving it to another
-- schema in xmin of its row type's, which nothing else but another owner changes; a
-- table subscribed to a publication gets rows without firing statement triggers
-- (PostgreSQL manual, "Logical Replication: Architecture").
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
             WHERE srrelid = (SELECT to_regclass('public.object_state'))))
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
    'Catalog identity of relpack''s triggers, and of subscriptions to object_state: another one than in '
    'relpack.storage.trigger_identity means that writes may have gone unreported.';
