CREATE OR REPLACE FUNCTION relpack.spare_set_aside()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_spared bigint;
BEGIN
    INSERT INTO relpack.spared (zoid, stage)
    SELECT set_aside.zoid, 'new'
    FROM relpack.set_aside
    ON CONFLICT DO NOTHING;
    PERFORM relpack.spare_referred();
    DELETE FROM relpack.doomed
    USING relpack.spared
    WHERE spared.zoid = doomed.zoid;
    GET DIAGNOSTICS v_spared = ROW_COUNT;
    UPDATE relpack.storage SET doomed_left = doomed_left - v_spared;
END;
$$;

COMMENT ON FUNCTION relpack.spare_set_aside() IS
    'Step of relpack.doom(): takes what is set aside, and all that it refers to, out of relpack.doomed.';
