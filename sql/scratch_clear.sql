-- DELETE where that is cheaper; else TRUNCATE if it is to be had at once, or,
-- where DELETE would take seconds, after autovacuum has given way: pg_dump holds
-- a weak lock on every table for as long as it runs.
CREATE OR REPLACE FUNCTION relpack.scratch_clear(scratch regclass)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_timeout text := current_setting('lock_timeout');
    v_bytes bigint := pg_relation_size(scratch);
BEGIN
    -- A file without a page has no row: most are so, from one TRUNCATE to the next.
    IF v_bytes = 0 THEN
        RETURN;
    END IF;
    IF v_bytes > 262144 THEN
        BEGIN
            PERFORM set_config('lock_timeout', CASE WHEN v_bytes > 67108864 THEN '3s' ELSE '10ms' END, true);
            EXECUTE format('TRUNCATE %s', scratch);
            PERFORM set_config('lock_timeout', v_timeout, true);
            RETURN;
        EXCEPTION
            WHEN lock_not_available THEN
                NULL;
        END;
    END IF;
    -- Autovacuum locks out everybody for a moment when it gives pages back to
    -- the file system: that is waited for.
    EXECUTE format('DELETE FROM %s', scratch);
END;
$$;

COMMENT ON FUNCTION relpack.scratch_clear(regclass) IS
    'Empties one of relpack''s scratch tables without waiting for who reads it (pg_dump does).';
