CREATE OR REPLACE FUNCTION relpack.reach()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_unreachable bigint;
BEGIN
    WHILE relpack.reach_step() LOOP
    END LOOP;
    SELECT count(*) INTO v_unreachable FROM relpack.detached;
    RETURN v_unreachable;
END;
$$;

COMMENT ON FUNCTION relpack.reach() IS
    'Settles which objects are reachable after changes were applied, in one transaction; returns how many are not. '
    '"relpack pack" calls relpack.reach_step() instead, a transaction each.';
