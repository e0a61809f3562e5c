-- References to other databases of what a chunk read. An object that was written
-- after the watermark keeps those that are recorded and gets those that it has
-- now, as with the references within the storage; so does one that is not stored
-- but has its node. Most storages have none and pay nothing. Called with the
-- settings of relpack.apply(): everything goes by index.
CREATE OR REPLACE FUNCTION relpack.apply_foreign(watermark bigint)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM relpack.foreign_reference) THEN
        DELETE FROM relpack.foreign_reference
        USING relpack.examined_object AS examined
        WHERE foreign_reference.inref = examined.zoid
          AND (examined.tid <= apply_foreign.watermark
               OR NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = examined.zoid))
          AND NOT EXISTS (
              SELECT
              FROM relpack.examined_foreign AS read
              WHERE read.inref = foreign_reference.inref
                AND read.database = foreign_reference.database
                AND read.zoid = foreign_reference.zoid);
    END IF;
    IF EXISTS (SELECT FROM relpack.examined_foreign) THEN
        INSERT INTO relpack.foreign_reference (inref, database, zoid)
        SELECT DISTINCT inref, database, zoid
        FROM relpack.examined_foreign
        ON CONFLICT DO NOTHING;
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.apply_foreign(bigint) IS
    'Step of relpack.apply(): brings relpack.foreign_reference up to what was examined, after the nodes.';
