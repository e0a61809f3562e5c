CREATE OR REPLACE FUNCTION relpack.apply_finish()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_pending bigint;
BEGIN
    SELECT count(*) INTO v_pending FROM relpack.pending;
    IF v_pending = 0 THEN
        UPDATE relpack.storage SET applied_tid = listed_tid, settled_tid = coalesce(detach_tid, 0);
    END IF;
    RETURN v_pending;
END;
$$;

COMMENT ON FUNCTION relpack.apply_finish() IS
    'Returns how many objects are pending; when none is, the graph describes the storage up to what was collected.';
