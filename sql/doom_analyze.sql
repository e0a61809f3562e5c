-- Statistics are their table's owner's as well (see relpack.build_reset).
CREATE OR REPLACE FUNCTION relpack.doom_analyze()
RETURNS void
LANGUAGE plpgsql
VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_packer();
    ANALYZE relpack.spared;
END;
$$;

COMMENT ON FUNCTION relpack.doom_analyze() IS
    'Step of relpack.doom(): statistics of relpack.spared, for every role that packs.';
