-- Where rows were lost, files without a row may be what is left of them, or of what hung on
-- them: that nobody knows. What garbage refers to counts, it may be attached again until a
-- pack deletes it. In a history-preserving storage an undo brings back what any stored
-- revision refers to: all of their references have to be recorded.
CREATE OR REPLACE FUNCTION relpack.require_none_missing(given_up bigint DEFAULT 0)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_storage relpack.storage := relpack.known_storage();
    v_missing text;
    v_lost bigint;
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
    SELECT count(*), string_agg(lost.zoid::text, ', ' ORDER BY lost.zoid) FILTER (WHERE lost.place <= 10)
    INTO v_lost, v_missing
    FROM (
        SELECT dangling.zoid, row_number() OVER (ORDER BY dangling.zoid) AS place
        FROM relpack.dangling
        WHERE EXISTS (SELECT FROM relpack.object_inref WHERE object_inref.zoid = dangling.zoid OFFSET 0)
    ) AS lost;
    IF v_lost > coalesce(given_up, 0) THEN
        RAISE EXCEPTION 'others refer to % that % not stored, and files of objects that are gone may belong to what hung on %: zoid %',
                        CASE v_lost WHEN 1 THEN '1 object' ELSE v_lost || ' objects' END,
                        CASE v_lost WHEN 1 THEN 'is' ELSE 'are' END,
                        CASE v_lost WHEN 1 THEN 'it' ELSE 'them' END, v_missing
            USING ERRCODE = 'RP002',
                  HINT = format('"relpack check" says who refers to them. Restore them; or, if all of them are given up, '
                                'add "--given-up %s".', v_lost);
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_none_missing(bigint) IS
    'Precondition of the removal of files of objects that are gone (relpack.blobs_orphaned). '
    'Raises RP002 while rows are missing to which others refer, or more objects than somebody has given up are not stored '
    'to which others refer, or while the graph of a history-preserving storage lacks references of stored revisions.';
