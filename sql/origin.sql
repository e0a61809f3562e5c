-- A copy of this database in the same server has another one, and so has one that
-- pg_restore made elsewhere. A physical copy of the server has the same:
-- relpack.timeline() tells it, once it has been promoted.
CREATE OR REPLACE FUNCTION relpack.origin()
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_database oid := (SELECT oid FROM pg_database WHERE datname = current_database());
BEGIN
    IF has_function_privilege('pg_control_system()', 'EXECUTE') THEN
        RETURN format('%s/%s', (SELECT system_identifier FROM pg_control_system()), v_database);
    END IF;
    RETURN format('%s:%s/%s %s', inet_server_addr(), inet_server_port(), v_database, current_database());
END;
$$;

COMMENT ON FUNCTION relpack.origin() IS
    'Tells this database from others, but for physical copies of the server: system identifier of the server and oid of the database.';
