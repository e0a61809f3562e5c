-- The mark allows nothing: it keeps a second database from a directory that one has
-- cleared, and files that came there later, of old tids, from being taken for
-- leftovers. Two servers of which one may not see the system identifier could say the
-- same of themselves. What is committed later has a tid above the watermark, by whatever
-- clock; it may be below what the clock said, which was ahead, or is the server's, not the
-- client's.
CREATE OR REPLACE FUNCTION relpack.blobs_mark(cleared bigint)
RETURNS jsonb
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT has_function_privilege('pg_control_system()', 'EXECUTE') THEN
        RAISE EXCEPTION 'role % may not see the system identifier of the server, which tells it from others', current_user
            USING ERRCODE = 'RP002',
                  HINT = format('Let a superuser run: GRANT EXECUTE ON FUNCTION pg_control_system() TO %I;', current_user);
    END IF;
    RETURN jsonb_build_object(
        'about', 'Written by "relpack blobs --remove": this database has cleared the directory.',
        'database', current_database(),
        'origin', relpack.origin(),
        'timeline', relpack.timeline(),
        'removed', clock_timestamp(),
        'cleared', least(cleared, (SELECT watermark FROM relpack.storage)));
END;
$$;

COMMENT ON FUNCTION relpack.blobs_mark(bigint) IS
    'The file .relpack in a blob directory: which database has cleared it, when, and up to which tid all '
    'superseded revisions are removed (cleared; 0: not all was tried yet), at most up to what was captured.';
