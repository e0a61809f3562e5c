CREATE OR REPLACE FUNCTION relpack.require_blobs_mark(mark jsonb)
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF mark IS NULL THEN
        RAISE EXCEPTION 'the file .relpack is not in the blob directory any more'
            USING ERRCODE = 'RP002', HINT = 'Find out who removed it.';
    END IF;
    IF coalesce(mark ->> 'origin', '') = '' OR coalesce(mark ->> 'cleared', '') !~ '^[0-9]{1,18}$' THEN
        RAISE EXCEPTION 'the file .relpack in the blob directory can''t be understood'
            USING ERRCODE = 'RP002', HINT = 'Remove it, if no other database has written it.';
    END IF;
    IF mark ->> 'origin' <> relpack.origin() THEN
        IF NOT has_function_privilege('pg_control_system()', 'EXECUTE') THEN
            RAISE EXCEPTION 'role % may not see the system identifier of the server: it can''t tell whose the blob directory is',
                current_user
                USING ERRCODE = 'RP002',
                      HINT = format('Let a superuser run: GRANT EXECUTE ON FUNCTION pg_control_system() TO %I;', current_user);
        END IF;
        RAISE EXCEPTION 'another database has cleared the blob directory: "%" (%), last at %; this one is %',
                        mark ->> 'database', mark ->> 'origin', mark ->> 'removed', relpack.origin()
            USING ERRCODE = 'RP002',
                  HINT = 'If the directory is a copy of the other database''s, or that one is gone for good: '
                         'remove the file .relpack from it.';
    END IF;
    IF mark ->> 'timeline' <> relpack.timeline() THEN
        RAISE EXCEPTION 'the blob directory was last cleared on timeline %, and the database is on % '
                        'since a standby took over, or a recovery: that may be a copy', mark ->> 'timeline', relpack.timeline()
            USING ERRCODE = 'RP002',
                  HINT = 'If this is the site''s database, remove the file .relpack from the directory. '
                         'If it is a copy, give it a directory of its own.';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_blobs_mark(jsonb) IS
    'Raises RP002 unless the file .relpack in a blob directory (relpack.blobs_mark) is this database''s, of this timeline.';
