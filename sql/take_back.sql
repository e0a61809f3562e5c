-- What default privileges (ALTER DEFAULT PRIVILEGES) give others on what relpack's
-- owner creates, nobody gave with relpack in mind. Who has TRIGGER or REFERENCES on
-- one of its tables, or CREATE on its schema, has code of his own run with the
-- rights of its owner: no role needs that, whoever granted it. Other grants on
-- what was there before are left as they are.
CREATE OR REPLACE FUNCTION relpack.take_back(created text[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE coalesce((
        SELECT string_agg(format('REVOKE %s ON %s FROM %s CASCADE', given.privilege, given.thing,
                                 CASE given.grantee WHEN 0 THEN 'PUBLIC' ELSE format('%I', pg_get_userbyid(given.grantee)) END), '; ')
        FROM (
            SELECT nspname, nspowner, 'SCHEMA relpack', privilege_type, grantee, privilege_type = 'CREATE'
            FROM pg_namespace, aclexplode(nspacl)
            WHERE nspname = 'relpack'
            UNION ALL
            SELECT relname, relowner,
                   format('%s relpack.%I', CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, relname),
                   privilege_type, grantee, privilege_type IN ('TRIGGER', 'REFERENCES')
            FROM pg_class, aclexplode(relacl)
            WHERE relnamespace = 'relpack'::regnamespace
            UNION ALL
            SELECT relname, relowner, format('relpack.%I', relname),
                   format('%s (%I)', privilege_type, attname), grantee, privilege_type = 'REFERENCES'
            FROM pg_class
            JOIN pg_attribute ON attrelid = pg_class.oid, aclexplode(attacl)
            WHERE relnamespace = 'relpack'::regnamespace
            UNION ALL
            SELECT proname, proowner, 'FUNCTION ' || pg_proc.oid::regprocedure, privilege_type, grantee, false
            FROM pg_proc, aclexplode(proacl)
            WHERE pronamespace = 'relpack'::regnamespace
        ) AS given (name, owner, thing, privilege, grantee, dangerous)
        WHERE given.grantee <> given.owner
          AND (given.dangerous OR take_back.created IS NULL OR given.name = ANY (take_back.created))
    ), '');
END;
$$;

COMMENT ON FUNCTION relpack.take_back(text[]) IS
    'Takes rights on what the migrations created from all roles but its owner. '
    'Default privileges may have given these on the relations and functions of these names; NULL: on all of relpack '
    'and its schema. '
    'TRIGGER and REFERENCES on any table of relpack and CREATE on its schema are taken in either case.';
