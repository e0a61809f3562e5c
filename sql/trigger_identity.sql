-- Disabling and enabling a trigger leaves a trace in xmin of its catalog row,
-- creating it anew in its oid; renaming a table or moving it to another schema in
-- xmin of its row type's, which nothing else but another owner changes; a table subscribed to a publication gets rows
-- without firing statement triggers (PostgreSQL manual, "Logical Replication:
-- Architecture").
CREATE OR REPLACE FUNCTION relpack.trigger_identity()
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT concat_ws(' ',
            string_agg(format('%s:%s:%s:%s', tgname, oid, xmin, tgenabled), ' ' ORDER BY tgname, oid),
            -- Renamed or moved away for a while, the table reported nothing.
            (SELECT 'named:' || pg_type.xmin FROM pg_type WHERE typrelid = to_regclass('public.object_state')),
            (SELECT 'subscribed:' || string_agg(srsubid::text, ',' ORDER BY srsubid)
             FROM pg_subscription_rel
             WHERE srrelid = to_regclass('public.object_state')))
        FROM pg_trigger
        WHERE tgrelid IN (to_regclass('public.object_state'),
                          to_regclass('relpack.object'),
                          to_regclass('relpack.object_inref'),
                          to_regclass('relpack.missing'),
                          to_regclass('relpack.write_event'),
                          to_regclass('relpack.pending'),
                          to_regclass('relpack.suspect'),
                          to_regclass('relpack.problem'),
                          to_regclass('relpack.foreign_reference'),
                          to_regclass('relpack.capture'))
          AND tgname LIKE 'relpack\_%');
END;
$$;

COMMENT ON FUNCTION relpack.trigger_identity() IS
    'Catalog identity of relpack''s triggers, and of subscriptions to object_state: another one than in relpack.storage.trigger_identity means that writes may have gone unreported.';
