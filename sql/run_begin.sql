CREATE OR REPLACE FUNCTION relpack.run_begin(days float8, version text)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_run bigint;
BEGIN
    PERFORM relpack.require_packer_alive(pg_backend_pid());
    INSERT INTO relpack.run (days, version)
    VALUES (run_begin.days, run_begin.version)
    RETURNING id INTO STRICT v_run;
    RETURN v_run;
END;
$$;

COMMENT ON FUNCTION relpack.run_begin(float8, text) IS
    'Enters a pack into relpack.run, for the session that holds the pack lock; returns its number.';
