-- TRUNCATE where that is to be had at once, else DELETE: pg_dump holds a weak
-- lock on every table for as long as it runs.
CREATE OR REPLACE FUNCTION relpack.clear_scratch(scratch regclass)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '10ms'
AS $$
DECLARE
    v_filled boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM %s)', scratch) INTO v_filled;
    IF v_filled THEN
        BEGIN
            EXECUTE format('TRUNCATE %s', scratch);
        EXCEPTION
            WHEN lock_not_available THEN
                EXECUTE format('DELETE FROM %s', scratch);
        END;
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.clear_scratch(regclass) IS
    'Empties one of relpack''s scratch tables without waiting for who reads it (pg_dump does).';
