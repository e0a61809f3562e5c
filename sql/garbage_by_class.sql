-- Buckets last: they say nothing of what was deleted.
CREATE OR REPLACE VIEW relpack.garbage_by_class AS
SELECT class.label AS class,
       garbage.objects,
       garbage.bytes
FROM (
    SELECT detached.class, count(*) AS objects, sum(detached.size) AS bytes
    FROM relpack.detached
    GROUP BY detached.class
) AS garbage
JOIN relpack.class ON class.id = garbage.class
ORDER BY class.module LIKE 'BTrees.%', garbage.bytes DESC;

COMMENT ON VIEW relpack.garbage_by_class IS
    'What the unreachable objects are, largest first, parts of BTrees last; those within the grace included.';
COMMENT ON COLUMN relpack.garbage_by_class.class IS 'Python class.';
COMMENT ON COLUMN relpack.garbage_by_class.objects IS 'How many of it are unreachable.';
COMMENT ON COLUMN relpack.garbage_by_class.bytes IS 'Bytes of their states.';
