CREATE OR REPLACE VIEW relpack.dangling_reference AS
SELECT dangling.zoid,
       holder.inrefs
FROM relpack.dangling
CROSS JOIN LATERAL (
    SELECT array_agg(few.inref ORDER BY few.inref) AS inrefs
    FROM (
        SELECT edge.inref
        FROM (
            SELECT object_inref.inref
            FROM relpack.object_inref
            WHERE object_inref.zoid = dangling.zoid
            OFFSET 0
        ) AS edge
        CROSS JOIN LATERAL (
            SELECT FROM relpack.object WHERE object.zoid = edge.inref AND object.parent IS NOT NULL OFFSET 0
        ) AS live
        LIMIT 3
    ) AS few
) AS holder
WHERE holder.inrefs IS NOT NULL;

COMMENT ON VIEW relpack.dangling_reference IS
    'What live objects refer to and was not stored when relpack first read them, or was deleted as garbage before '
    'they did (POSKeyError). As of the last pack.';
COMMENT ON COLUMN relpack.dangling_reference.zoid IS 'Object id that is not stored.';
COMMENT ON COLUMN relpack.dangling_reference.inrefs IS 'Live objects that refer to it, three at most; relpack.referrers(zoid) has all.';
