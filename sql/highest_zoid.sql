-- A row that vanished may have been the highest; its node is still there.
CREATE OR REPLACE FUNCTION relpack.highest_zoid()
RETURNS bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN greatest((SELECT max(zoid) FROM relpack.stored()), (SELECT max(zoid) FROM relpack.object), 0);
END;
$$;

COMMENT ON FUNCTION relpack.highest_zoid() IS
    'The highest zoid that an object of this storage can refer to: stored, or of a node. '
    'For a transaction that has called relpack.lock_storage().';
