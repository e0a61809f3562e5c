-- The row is gone where somebody deleted it, or restored the database without the data
-- of relpack's tables: then nothing is known of the graph. relpack.try_pack_lock()
-- begins another one. A record: in a dump without relpack's tables the type of the row is
-- missing, and the functions are to be restored all the same.
CREATE OR REPLACE FUNCTION relpack.known_storage()
RETURNS record
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_storage relpack.storage;
BEGIN
    SELECT * INTO v_storage FROM relpack.storage;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'relpack.storage has lost its row: nothing is known of the graph'
            USING ERRCODE = 'RP002', HINT = 'Run "relpack pack": it builds the graph again.';
    END IF;
    RETURN v_storage;
END;
$$;

COMMENT ON FUNCTION relpack.known_storage() IS
    'The row of relpack.storage; raises RP002 where it is lost.';
