CREATE OR REPLACE VIEW relpack.missing_object AS
SELECT missing.zoid,
       class.label AS class,
       missing.since,
       missing.accepted,
       holder.inrefs
FROM relpack.missing
JOIN relpack.object ON object.zoid = missing.zoid
JOIN relpack.class ON class.id = object.class
CROSS JOIN LATERAL (
    SELECT array_agg(few.inref ORDER BY few.inref) AS inrefs
    FROM (
        SELECT edge.inref
        FROM (
            SELECT object_inref.inref
            FROM relpack.object_inref
            WHERE object_inref.zoid = missing.zoid
            OFFSET 0
        ) AS edge
        CROSS JOIN LATERAL (
            SELECT FROM relpack.object WHERE object.zoid = edge.inref AND object.parent IS NOT NULL OFFSET 0
        ) AS live
        WHERE NOT EXISTS (SELECT FROM relpack.missing AS other WHERE other.zoid = edge.inref OFFSET 0)
        LIMIT 3
    ) AS few
) AS holder
WHERE holder.inrefs IS NOT NULL;

COMMENT ON VIEW relpack.missing_object IS
    'Objects whose rows vanished from object_state while live ones refer to them (POSKeyError). '
    'relpack keeps what hangs on them until the row is back, nothing live refers to it any more, or it is given up '
    '(relpack.accept_missing). What only other missing objects refer to is in relpack.missing alone.';
COMMENT ON COLUMN relpack.missing_object.zoid IS 'Object id.';
COMMENT ON COLUMN relpack.missing_object.class IS 'Its Python class, as last read.';
COMMENT ON COLUMN relpack.missing_object.since IS 'When a pack first found the row gone.';
COMMENT ON COLUMN relpack.missing_object.accepted IS 'Given up: the next pack drops the node.';
COMMENT ON COLUMN relpack.missing_object.inrefs IS 'Live objects that refer to it, three at most; relpack.referrers(zoid) has all.';
