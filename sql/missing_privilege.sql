-- The one place that says what a role needs to pack, or to look, that owns nothing.
-- Not all privileges on relpack's tables: with TRIGGER on one, code of the role's
-- own would run in functions that act with their owner's rights. Who looks gets
-- functions that change nothing. The catalogs alone are read, since names in a
-- schema that a role may not use can't be looked up. Nor can a role call this
-- without rights: relpack executes the text itself before it packs.
CREATE OR REPLACE FUNCTION relpack.missing_privilege(
    role name DEFAULT current_user, only_look boolean DEFAULT false,
    OUT target text, OUT privilege text, OUT remedy text, OUT owner name)
RETURNS SETOF record
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH asked (role, only_look) AS (
        VALUES (missing_privilege.role, missing_privilege.only_look)
    ), looked_at (functions) AS (
        VALUES (ARRAY['status', 'doubt', 'trigger_identity', 'missing_trigger', 'column_identity', 'graph_identity',
                      'lock_protocol', 'pack_lock_holder', 'path_to_root', 'referrers', 'referents',
                      'tid_to_time', 'time_to_tid', 'tids_ahead', 'verify', 'verify_graph', 'verify_tree',
                      'broken_blobs', 'verify_blobs', 'blobs_judge', 'names_blob', 'require_blobs_mark', 'origin', 'timeline',
                      'unnamed_large_object', 'lock_storage', 'require_kind', 'known_storage',
                      'require_protocol', 'require_storage', 'require_own',
                      'require_packable', 'require_history', 'require_root', 'require_deletable', 'require_unreferred', 'trim_keys',
                      'keeps_history', 'stored', 'being_changed', 'unapplied', 'hangs_with', 'blob_bytes', 'newest_tid', 'trim_kept',
                      'blobs_named', 'trim_named', 'large_object_bytes', 'uncurrent', 'uncurrent_of', 'history', 'history_by_class'])
    ), history (kept) AS (
        SELECT EXISTS (
            SELECT
            FROM pg_class
            JOIN pg_attribute ON attrelid = pg_class.oid
            WHERE relnamespace = 'public'::regnamespace AND relname = 'object_state' AND attname = 'prev_tid' AND NOT attisdropped)
    ), relation AS (
        SELECT class.oid, class.relname, class.relkind, class.relowner, class.relnamespace::regnamespace::text AS schema,
               CASE
                   WHEN asked.only_look OR class.relname = 'blob_chunk' THEN ARRAY['SELECT']
                   WHEN class.relname = 'object_state' THEN ARRAY['SELECT', 'DELETE']
                   WHEN class.relname = 'current_object' THEN ARRAY['SELECT', 'DELETE']
                   WHEN class.relname = 'transaction' THEN ARRAY['SELECT', 'UPDATE', 'DELETE']
                   WHEN class.relkind = 'v' OR class.relname = 'goose_db_version' THEN ARRAY['SELECT']
                   ELSE ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']
               END AS privileges
        FROM asked, history, pg_class AS class
        WHERE class.relnamespace = 'public'::regnamespace
              AND (class.relname IN ('object_state', 'blob_chunk')
                   OR class.relname IN ('current_object', 'transaction') AND history.kept)
           OR class.relnamespace = 'relpack'::regnamespace AND class.relkind IN ('r', 'v')
    ), needed AS (
        SELECT format('schema %s', nspname) AS target, 'USAGE' AS privilege,
               CASE WHEN pg_get_userbyid(nspowner) = 'pg_database_owner' THEN datdba ELSE nspowner END AS owner,
               has_schema_privilege(role, pg_namespace.oid, 'USAGE') AS there,
               format('GRANT USAGE ON SCHEMA %I TO %I;', nspname, role) AS remedy
        FROM asked, pg_namespace, pg_database
        WHERE nspname IN ('public', 'relpack') AND datname = current_database()
        UNION ALL
        SELECT format('%s.%s', schema, relname), one.privilege, relowner,
               has_table_privilege(role, oid, one.privilege),
               CASE
                   WHEN schema = 'public' THEN format('GRANT %s ON public.%I TO %I;', array_to_string(privileges, ', '), relname, role)
                   WHEN only_look THEN format('GRANT SELECT ON ALL TABLES IN SCHEMA relpack TO %I;', role)
                   ELSE format('GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA relpack TO %1$I; '
                               'REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON relpack.goose_db_version FROM %1$I;', role)
               END
        FROM asked, relation, unnest(privileges) AS one (privilege)
        UNION ALL
        SELECT 'relpack.write_event_id_seq', 'USAGE', relowner,
               has_sequence_privilege(role, oid, 'USAGE'),
               format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA relpack TO %I;', role)
        FROM asked, pg_class
        WHERE NOT only_look AND oid = (SELECT oid FROM pg_class
                     WHERE relnamespace = 'relpack'::regnamespace AND relname = 'write_event_id_seq' AND relkind = 'S')
        UNION ALL
        SELECT format('relpack.%s', proname), 'EXECUTE', proowner,
               has_function_privilege(role, oid, 'EXECUTE'),
               format('GRANT EXECUTE ON %s TO %I;',
                      CASE
                          WHEN only_look THEN 'FUNCTION relpack.' || array_to_string(functions, ', relpack.')
                          ELSE 'ALL FUNCTIONS IN SCHEMA relpack'
                      END, role)
        FROM asked, looked_at, pg_proc
        WHERE pronamespace = 'relpack'::regnamespace
          AND CASE
              WHEN only_look THEN proname = ANY (functions)
              ELSE prorettype <> 'trigger'::regtype AND proname NOT IN ('create_triggers', 'drop_triggers', 'take_back')
              END
    )
    SELECT target, privilege, remedy, pg_get_userbyid(owner)
    FROM needed
    WHERE NOT there
    ORDER BY target, privilege;
$$;

COMMENT ON FUNCTION relpack.missing_privilege(name, boolean) IS
    'What a role lacks that is to pack, or, with only_look, to look. '
    'privilege on target, and as remedy the statements that its owner can run. No row: nothing.';
