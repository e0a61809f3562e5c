-- Where rows were lost, files without a row may be what is left of them. In a
-- history-preserving storage an undo brings back what any stored revision refers to: all of
-- their references have to be recorded.
CREATE OR REPLACE FUNCTION relpack.require_none_missing()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_storage relpack.storage := relpack.known_storage();
    v_missing text;
BEGIN
    SELECT string_agg(few.zoid::text, ', ' ORDER BY few.zoid)
    INTO v_missing
    FROM (SELECT missing.zoid FROM relpack.missing ORDER BY missing.zoid LIMIT 10) AS few;
    IF v_missing IS NOT NULL THEN
        RAISE EXCEPTION 'rows have vanished to which others refer, and files of objects that are gone may belong to them: zoid %', v_missing
            USING ERRCODE = 'RP002',
                  HINT = '"relpack check" says where they are. Restore them, or give up each with "relpack pack --accept-missing ZOID".';
    END IF;
    IF v_storage.horizon_tid > v_storage.cleared_tid THEN
        RAISE EXCEPTION 'not all references of old revisions are recorded: an undo may bring back objects that are gone'
            USING ERRCODE = 'RP002', HINT = 'Call relpack.horizon_lower(), and have the objects in relpack.pending read.';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_none_missing() IS
    'Precondition of the removal of files of objects that are gone (relpack.blobs_orphaned): raises RP002 while rows are '
    'missing to which others refer, or while the graph of a history-preserving storage lacks references of stored revisions.';
