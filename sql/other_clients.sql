CREATE OR REPLACE FUNCTION relpack.other_clients(OUT pid integer, OUT application text, OUT since timestamptz)
RETURNS SETOF record
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT activity.pid, activity.application_name, activity.xact_start
    FROM pg_stat_activity AS activity
    WHERE activity.datname = current_database()
      AND activity.backend_type = 'client backend'
      AND activity.pid NOT IN (SELECT relpack.own_session());
END;
$$;

COMMENT ON FUNCTION relpack.other_clients() IS
    'The sessions of other clients of this database, and since when they have a transaction open.';
