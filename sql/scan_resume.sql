-- What happened between two runs, the scan does not know: it is found by comparing
-- at the end.
CREATE OR REPLACE FUNCTION relpack.scan_resume()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_pack_lock();
    UPDATE relpack.storage SET scan_disturbed = true;
END;
$$;

COMMENT ON FUNCTION relpack.scan_resume() IS
    'Goes on with the scan of a first build that was interrupted: a comparison follows it.';
