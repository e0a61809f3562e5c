-- Whoever has code of his own run on relpack's tables, or owns a part of relpack,
-- decides what is deleted, and acts with the rights of who packs.
CREATE OR REPLACE FUNCTION relpack.require_own()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_foreign text;
BEGIN
    -- Without variables the plan is kept where those of a sweep are made again.
    WITH storage AS MATERIALIZED (
        SELECT relowner AS owner FROM pg_class WHERE oid = to_regclass('public.object_state')
    ), own AS MATERIALIZED (
        SELECT *
        FROM pg_class
        WHERE relnamespace = 'relpack'::regnamespace AND relkind NOT IN ('i', 'I', 't')
    )
    SELECT min(found.what)
    INTO v_foreign
    FROM (
        SELECT format('schema relpack belongs to %s, object_state to %s', nspowner::regrole, (SELECT owner FROM storage)::regrole)
        FROM pg_namespace
        WHERE nspname = 'relpack' AND nspowner <> (SELECT owner FROM storage)
        UNION ALL
        SELECT format('relpack.%I belongs to %s, object_state to %s', relname, relowner::regrole, (SELECT owner FROM storage)::regrole)
        FROM own
        WHERE relowner <> (SELECT owner FROM storage)
        UNION ALL
        SELECT format('function relpack.%I belongs to %s, object_state to %s',
                      proname, proowner::regrole, (SELECT owner FROM storage)::regrole)
        FROM pg_proc
        WHERE pronamespace = 'relpack'::regnamespace AND proowner <> (SELECT owner FROM storage)
        UNION ALL
        SELECT format('there is a rule %I on relpack.%I', rulename, relname)
        FROM own
        JOIN pg_rewrite ON ev_class = own.oid
        WHERE relkind <> 'v' AND relhasrules
        UNION ALL
        SELECT format('there is a trigger %I on relpack.%I', tgname, relname)
        FROM own
        JOIN pg_trigger ON tgrelid = own.oid
        WHERE relhastriggers AND NOT tgisinternal
          AND tgfoid NOT IN ((SELECT to_regprocedure('relpack.guard_graph()')), (SELECT to_regprocedure('relpack.note_unreferred()')))
        UNION ALL
        -- Found by its trigger, as no index finds it otherwise.
        SELECT format('there is a foreign key %I of %s on relpack.%I', conname, tgconstrrelid::regclass, relname)
        FROM own
        JOIN pg_trigger ON tgrelid = own.oid
        JOIN pg_constraint ON pg_constraint.oid = tgconstraint
        WHERE relhastriggers AND tgisinternal AND tgconstrrelid <> 0 AND tgconstrrelid NOT IN (SELECT oid FROM own)
        UNION ALL
        SELECT given.what
        FROM (
            SELECT format('%s has CREATE on schema relpack: "REVOKE CREATE ON SCHEMA relpack FROM %1$s"',
                          CASE grantee WHEN 0 THEN 'PUBLIC' ELSE format('%I', pg_get_userbyid(grantee)) END), grantee
            FROM pg_namespace, aclexplode(nspacl)
            WHERE nspname = 'relpack' AND privilege_type = 'CREATE'
            UNION ALL
            SELECT format('%s has %s on relpack.%I: "REVOKE %2$s ON relpack.%3$I FROM %1$s"',
                          CASE grantee WHEN 0 THEN 'PUBLIC' ELSE format('%I', pg_get_userbyid(grantee)) END,
                          privilege_type, relname), grantee
            FROM own, aclexplode(relacl)
            WHERE privilege_type IN ('TRIGGER', 'REFERENCES')
            UNION ALL
            SELECT format('%s has REFERENCES on column %I of relpack.%I: "REVOKE REFERENCES (%2$I) ON relpack.%3$I FROM %1$s"',
                          CASE grantee WHEN 0 THEN 'PUBLIC' ELSE format('%I', pg_get_userbyid(grantee)) END, attname, relname), grantee
            FROM own
            CROSS JOIN LATERAL (
                SELECT attname, attacl FROM pg_attribute WHERE attrelid = own.oid AND attnum > 0 AND attacl IS NOT NULL OFFSET 0
            ) AS attribute
            CROSS JOIN aclexplode(attacl)
            WHERE privilege_type = 'REFERENCES'
        ) AS given (what, grantee)
        WHERE NOT EXISTS (
            SELECT
            FROM pg_roles
            WHERE pg_roles.oid = given.grantee
              AND (rolsuper OR pg_has_role(pg_roles.oid, (SELECT owner FROM storage), 'MEMBER')))
        UNION ALL
        SELECT format('relpack.%I is no plain table: it inherits, is inherited from, or has policies', relname)
        FROM own
        WHERE relkind = 'p'
           OR relrowsecurity
           OR (relhassubclass AND EXISTS (SELECT FROM pg_inherits WHERE inhparent = own.oid))
           OR (relkind = 'r' AND EXISTS (SELECT FROM pg_inherits WHERE inhrelid = own.oid))
    ) AS found (what);
    IF v_foreign IS NOT NULL THEN
        RAISE EXCEPTION 'others may decide what relpack deletes: %', v_foreign
            USING ERRCODE = 'RP002',
                  HINT = '"relpack migrate up" takes such rights back. Remove anything else, or run "DROP SCHEMA relpack CASCADE" '
                         'and "relpack migrate up": the graph can always be built again.';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_own() IS
    'Raises RP002 when others may decide what relpack deletes. '
    'That is where a part of relpack belongs to another role than object_state, or somebody has put a rule, a '
    'trigger, a foreign key, a policy or an heir on one of its tables, or may do so: has TRIGGER or REFERENCES on '
    'one, or CREATE on the schema.';
