-- For who only looks, on a standby as well: no lock of a packer's is asked for, and
-- nothing that the next pack mends.
CREATE OR REPLACE FUNCTION relpack.require_packable()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_protocol();
    PERFORM relpack.require_storage();
    IF relpack.keeps_history() THEN
        PERFORM relpack.require_history();
    END IF;
    PERFORM relpack.require_deletable();
END;
$$;

COMMENT ON FUNCTION relpack.require_packable() IS
    'Raises RP002 for what refuses each pack of this storage until somebody acts: see relpack.require_protocol(), '
    'require_storage(), require_history() and require_deletable(). Changes nothing.';
