-- In one order, and each that is named twice once.
CREATE OR REPLACE FUNCTION relpack.accept_if_missing(zoids bigint[])
RETURNS SETOF bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_zoid bigint;
BEGIN
    PERFORM relpack.require_pack_lock();
    PERFORM relpack.lock_storage();
    FOR v_zoid IN
        SELECT DISTINCT asked.zoid
        FROM unnest(zoids) AS asked (zoid)
        WHERE EXISTS (SELECT FROM relpack.missing WHERE missing.zoid = asked.zoid)
           OR (EXISTS (SELECT FROM relpack.object WHERE object.zoid = asked.zoid)
               AND NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = asked.zoid))
        ORDER BY asked.zoid
    LOOP
        PERFORM relpack.accept_missing(v_zoid);
        RETURN NEXT v_zoid;
    END LOOP;
END;
$$;

COMMENT ON FUNCTION relpack.accept_if_missing(bigint[]) IS
    'Gives up those of these objects that are missing (relpack.accept_missing), and returns them.';
