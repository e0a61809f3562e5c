-- Of a record that could not be decoded every 8 bytes may be a reference, if they
-- name something. A row that vanished may come back: its node counts.
CREATE OR REPLACE FUNCTION relpack.salvage(windows bigint[])
RETURNS SETOF bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT stored.zoid
    FROM relpack.stored()
    WHERE stored.zoid = ANY (windows)
    UNION
    SELECT object.zoid
    FROM relpack.object
    WHERE object.zoid = ANY (windows);
END;
$$;

COMMENT ON FUNCTION relpack.salvage(bigint[]) IS
    'Which of these, 8 bytes each of a record that is complete and could not be decoded, may be references: those '
    'that name a stored object or a node. For a transaction that has called relpack.lock_storage().';
