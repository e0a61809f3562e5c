-- Not beyond the watermark: what is restored there makes no event, so that nothing would
-- take this back.
CREATE OR REPLACE FUNCTION relpack.trim_cleared(until_tid bigint, listed boolean DEFAULT false)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_storage relpack.storage;
    v_cleared bigint;
    v_since bigint := 0;
BEGIN
    PERFORM relpack.trim_begin(until_tid);
    v_storage := relpack.known_storage();
    v_cleared := v_storage.cleared_tid;
    IF listed THEN
        v_since := v_cleared;
        IF v_since = 0 THEN
            RAISE EXCEPTION 'a trim has to go through all objects' USING ERRCODE = 'RP002', HINT = 'Run "relpack pack".';
        END IF;
    END IF;
    IF relpack.trim_undoable(until_tid) THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'unmarked';
    END IF;
    UPDATE relpack.storage
    SET cleared_tid = greatest(v_cleared, least(until_tid, watermark)),
        gone_through = CASE WHEN listed OR until_tid < v_cleared THEN gone_through ELSE now() END,
        emptied = CASE WHEN listed THEN emptied ELSE (SELECT count(*) FROM relpack.emptied) END;
    IF until_tid < v_cleared THEN
        -- One that came further has looked at the others; what is listed is for the next.
        RETURN;
    END IF;
    -- Which are set back no more, relpack.capture_set_back() says: what they cut off has a grace.
    DELETE FROM relpack.to_trim
    WHERE NOT alone;
END;
$$;

COMMENT ON FUNCTION relpack.trim_cleared(bigint, boolean) IS
    'Says that a trim up to until_tid has been through all objects, or through what relpack.trim_list() listed. '
    'Now relpack.sweep() may delete what the revisions that are left do not refer to. A later capture that finds an event '
    'takes it back; a trim that does not come as far does not. Raises RP003 (unmarked) where a transaction up to there can '
    'be undone.';
