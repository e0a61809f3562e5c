CREATE OR REPLACE FUNCTION relpack.trim_cleared(until_tid bigint)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.trim_begin(until_tid);
    IF EXISTS (SELECT FROM public.transaction WHERE tid > 0 AND tid <= until_tid AND packed IS NOT TRUE) THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'unmarked';
    END IF;
    UPDATE relpack.storage SET cleared_tid = until_tid;
END;
$$;

COMMENT ON FUNCTION relpack.trim_cleared(bigint) IS
    'Says that a trim up to until_tid has been through all objects: now relpack.sweep() may delete what the revisions '
    'that are left do not refer to. A later capture that finds an event takes it back. Raises RP003 (unmarked) where a '
    'transaction up to there can be undone.';
