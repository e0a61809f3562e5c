-- Whether a live object refers to what dangles is asked when it is told: see
-- relpack.dangling_reference. What the objects of later chunks are named by
-- dangles until these are applied.
CREATE OR REPLACE FUNCTION relpack.note_dangling(named bigint[], unnamed bigint[], born bigint[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_bitmapscan = off
AS $$
BEGIN
    INSERT INTO relpack.dangling (zoid)
    SELECT target.zoid
    FROM unnest(named) AS target (zoid)
    WHERE NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = target.zoid OFFSET 0)
    ORDER BY target.zoid
    ON CONFLICT DO NOTHING;
    INSERT INTO relpack.dangling (zoid)
    SELECT examined.zoid
    FROM relpack.examined_object AS examined
    WHERE examined.tid IS NULL
      AND EXISTS (SELECT FROM relpack.object_inref WHERE object_inref.zoid = examined.zoid OFFSET 0)
    ON CONFLICT DO NOTHING;
    IF EXISTS (SELECT FROM relpack.dangling) THEN
        DELETE FROM relpack.dangling WHERE zoid = ANY (born);
        DELETE FROM relpack.dangling
        WHERE zoid = ANY (unnamed)
          AND NOT EXISTS (SELECT FROM relpack.object_inref WHERE object_inref.zoid = dangling.zoid OFFSET 0);
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.note_dangling(bigint[], bigint[], bigint[]) IS
    'Step of relpack.apply(): keeps relpack.dangling up to date: named are targets of new references, unnamed of '
    'references that are gone, born are new nodes.';
