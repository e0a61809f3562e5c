-- RelStorage may be upgraded in the middle of a run: what was a packers' lock
-- before is then an object's.
CREATE OR REPLACE FUNCTION relpack.require_protocol()
RETURNS text
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_protocol text := relpack.lock_protocol();
    v_before text := nullif(current_setting('relpack.lock_protocol', true), '');
BEGIN
    IF v_protocol = 'unknown' THEN
        RAISE EXCEPTION 'how RelStorage locks in this database is not known: it has neither a function '
                        'lock_objects_and_detect_conflicts that locks rows or takes advisory locks, '
                        'nor the table commit_lock without the table commit_row_lock'
            USING ERRCODE = 'RP002', HINT = 'Start RelStorage once: it creates what it needs. '
                                             'RelStorage newer than 4.3 may need a newer relpack.';
    END IF;
    IF v_before <> v_protocol THEN
        RAISE EXCEPTION 'RelStorage uses other locks than when this session took the pack lock (% instead of %): '
                        'it was upgraded or downgraded',
                        v_protocol, v_before
            USING ERRCODE = 'RP002', HINT = 'Run relpack again. Finished work is kept.';
    END IF;
    RETURN v_protocol;
END;
$$;

COMMENT ON FUNCTION relpack.require_protocol() IS
    'relpack.lock_protocol(); raises RP002 when that is unknown, or another one than when this session took the pack lock.';
