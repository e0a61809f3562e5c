-- DELETE where that is cheaper; else TRUNCATE if it is to be had at once:
-- pg_dump holds a weak lock on every table for as long as it runs.
CREATE OR REPLACE FUNCTION relpack.clear_scratch(scratch regclass)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '10ms'
AS $$
BEGIN
    IF pg_relation_size(scratch) > 262144 THEN
        BEGIN
            EXECUTE format('TRUNCATE %s', scratch);
            RETURN;
        EXCEPTION
            WHEN lock_not_available THEN
                NULL;
        END;
    END IF;
    EXECUTE format('DELETE FROM %s', scratch);
END;
$$;

COMMENT ON FUNCTION relpack.clear_scratch(regclass) IS
    'Empties one of relpack''s scratch tables without waiting for who reads it (pg_dump does).';
