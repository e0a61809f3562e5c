CREATE OR REPLACE VIEW relpack.size_by_class AS
SELECT class.label AS class,
       live.objects,
       live.bytes
FROM (
    SELECT object.class, count(*) AS objects, sum(object.size) AS bytes
    FROM relpack.object
    WHERE object.parent IS NOT NULL
      AND NOT EXISTS (SELECT FROM relpack.missing WHERE missing.zoid = object.zoid)
    GROUP BY object.class
) AS live
JOIN relpack.class ON class.id = live.class
ORDER BY live.bytes DESC;

COMMENT ON VIEW relpack.size_by_class IS
    'What the live objects are, as of the last pack, largest first. It reads all of relpack.object.';
COMMENT ON COLUMN relpack.size_by_class.class IS 'Python class.';
COMMENT ON COLUMN relpack.size_by_class.objects IS 'How many of it are live.';
COMMENT ON COLUMN relpack.size_by_class.bytes IS
    'Bytes of their states; of a history, of all revisions that the last pack or dry run keeps.';
