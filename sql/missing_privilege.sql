-- The one place that says what a role needs to pack that owns nothing. Not all
-- privileges on relpack's tables: with TRIGGER on one, code of the role's own would
-- run in functions that act with their owner's rights. The catalogs alone are read,
-- since names in a schema that a role may not use can't be looked up. Nor can a role
-- call this without rights: relpack executes the text itself before it packs.
CREATE OR REPLACE FUNCTION relpack.missing_privilege(
    packer name DEFAULT current_user, OUT target text, OUT privilege text, OUT remedy text, OUT owner name)
RETURNS SETOF record
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH packer (role) AS (
        VALUES (missing_privilege.packer)
    ), relation AS (
        SELECT class.oid, class.relname, class.relkind, class.relowner, class.relnamespace::regnamespace::text AS schema,
               CASE
                   WHEN class.relname = 'blob_chunk' THEN ARRAY['SELECT']
                   WHEN class.relname = 'object_state' THEN ARRAY['SELECT', 'DELETE']
                   WHEN class.relkind = 'v' OR class.relname = 'goose_db_version' THEN ARRAY['SELECT']
                   ELSE ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']
               END AS privileges
        FROM pg_class AS class
        WHERE class.relnamespace = 'public'::regnamespace AND class.relname IN ('object_state', 'blob_chunk')
           OR class.relnamespace = 'relpack'::regnamespace AND class.relkind IN ('r', 'v')
    ), needed AS (
        SELECT format('schema %s', nspname) AS target, 'USAGE' AS privilege,
               CASE WHEN pg_get_userbyid(nspowner) = 'pg_database_owner' THEN datdba ELSE nspowner END AS owner,
               has_schema_privilege(role, pg_namespace.oid, 'USAGE') AS there,
               format('GRANT USAGE ON SCHEMA %I TO %I;', nspname, role) AS remedy
        FROM packer, pg_namespace, pg_database
        WHERE nspname IN ('public', 'relpack') AND datname = current_database()
        UNION ALL
        SELECT format('%s.%s', schema, relname), one.privilege, relowner,
               has_table_privilege(role, oid, one.privilege),
               CASE schema
                   WHEN 'public' THEN format('GRANT %s ON public.%I TO %I;', array_to_string(privileges, ', '), relname, role)
                   ELSE format('GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA relpack TO %1$I; '
                               'REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON relpack.goose_db_version FROM %1$I;', role)
               END
        FROM packer, relation, unnest(privileges) AS one (privilege)
        UNION ALL
        SELECT 'relpack.write_event_id_seq', 'USAGE', relowner,
               has_sequence_privilege(role, oid, 'USAGE'),
               format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA relpack TO %I;', role)
        FROM packer, pg_class
        WHERE oid = (SELECT oid FROM pg_class
                     WHERE relnamespace = 'relpack'::regnamespace AND relname = 'write_event_id_seq' AND relkind = 'S')
        UNION ALL
        SELECT format('relpack.%s', proname), 'EXECUTE', proowner,
               has_function_privilege(role, oid, 'EXECUTE'),
               format('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA relpack TO %I;', role)
        FROM packer, pg_proc
        WHERE pronamespace = 'relpack'::regnamespace
          AND prorettype <> 'trigger'::regtype
          AND proname NOT IN ('create_triggers', 'drop_triggers', 'take_back')
    )
    SELECT target, privilege, remedy, pg_get_userbyid(owner)
    FROM needed
    WHERE NOT there
    ORDER BY target, privilege;
$$;

COMMENT ON FUNCTION relpack.missing_privilege(name) IS
    'What a role lacks that is to pack: privilege on target, and as remedy the statements that its owner can run. '
    'No row: it may pack.';
