CREATE OR REPLACE FUNCTION relpack.trim_begin(until_tid bigint)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $$
BEGIN
    -- Keys and triggers stay as they are found from here on.
    LOCK TABLE public.object_state IN ROW EXCLUSIVE MODE;
    PERFORM relpack.trim_require();
    IF current_setting('relpack.settling', true) IS DISTINCT FROM 'settled' THEN
        RAISE EXCEPTION 'an undo may be in flight that began before this session took the pack lock'
            USING ERRCODE = 'RP002', HINT = 'Call relpack.trim_settle() until it returns true.';
    END IF;
    -- On the disk, but not on that of a standby: see relpack.commit_locally().
    PERFORM relpack.commit_locally();
    IF (until_tid <= (SELECT max(tid) FROM public.transaction)) IS NOT TRUE THEN
        RAISE EXCEPTION 'transaction % is later than the newest one', coalesce(until_tid::text, 'NULL') USING ERRCODE = 'RP002';
    END IF;
    -- Kept, too, if this trim does not come to its end.
    UPDATE relpack.storage SET marked_tid = relpack.trim_marks(until_tid) WHERE marked_tid < until_tid;
    -- What another table's key holds back is to be found here, not by the COMMIT.
    SET CONSTRAINTS ALL IMMEDIATE;
END;
$$;

COMMENT ON FUNCTION relpack.trim_begin(bigint) IS
    'Begins a step that deletes revisions, and notes how far that goes (relpack.trim_marks()): raises RP002 unless '
    'relpack.trim_settle() was true and until_tid is not later than the newest transaction.';
