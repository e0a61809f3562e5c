-- In one order: two sessions of a run may name the same objects.
CREATE OR REPLACE FUNCTION relpack.pend(packer integer, zoids bigint[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_packer_alive(packer);
    INSERT INTO relpack.pending (zoid)
    SELECT DISTINCT other.zoid FROM unnest(zoids) AS other (zoid) ORDER BY other.zoid
    ON CONFLICT DO NOTHING;
END;
$$;

COMMENT ON FUNCTION relpack.pend(integer, bigint[]) IS
    'Has objects examined by the next update, or by the next pack should this run not come so far. '
    'For all sessions of the run whose session packer holds the pack lock: RP004 otherwise.';
