-- A dump restored without the data of some of our tables leaves references
-- that nobody recorded: tids alone would not show that.
CREATE OR REPLACE FUNCTION relpack.capture_recount()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_storage relpack.storage;
    v_objects bigint := (SELECT count(*) FROM relpack.object);
    v_inrefs bigint := (SELECT count(*) FROM relpack.object_inref);
BEGIN
    v_storage := relpack.known_storage();
    IF v_inrefs <> v_storage.inrefs THEN
        RAISE WARNING 'relpack.object_inref has % row%, not %: every object is read again',
                      v_inrefs, CASE v_inrefs WHEN 1 THEN '' ELSE 's' END, v_storage.inrefs;
        INSERT INTO relpack.pending (zoid)
        SELECT zoid FROM relpack.stored()
        ON CONFLICT DO NOTHING;
        INSERT INTO relpack.pending (zoid)
        SELECT DISTINCT inref FROM relpack.object_inref
        ON CONFLICT DO NOTHING;
    END IF;
    UPDATE relpack.storage SET objects = v_objects, inrefs = v_inrefs;
END;
$$;

COMMENT ON FUNCTION relpack.capture_recount() IS
    'Counts the rows of the graph again when it may not match the storage; with references missing, every object goes to relpack.pending.';
