-- All that is reachable is so from object 0. Nothing that RelStorage does empties it: an
-- undo of its creation is refused. A restore may, or a statement in psql, and one row mends
-- that as long as nothing was taken for garbage.
CREATE OR REPLACE FUNCTION relpack.require_root()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    v_bytes bigint;
BEGIN
    SELECT coalesce(octet_length(stored.state), 0)
    INTO v_bytes
    FROM relpack.stored()
    WHERE stored.zoid = 0
    ORDER BY stored.tid DESC
    LIMIT 1;
    IF v_bytes = 0 THEN
        RAISE EXCEPTION 'the root object (zoid 0) has no state: everything would look like garbage'
            USING ERRCODE = 'RP002', HINT = 'Restore the state of object 0 from a backup.';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_root() IS
    'Step of relpack.require_storage() and relpack.trim_require(): raises RP002 when object 0 is stored, and its newest '
    'revision has no state.';
