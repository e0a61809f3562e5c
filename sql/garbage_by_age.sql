CREATE OR REPLACE VIEW relpack.garbage_by_age AS
SELECT bucket.age,
       coalesce(counted.objects, 0) AS objects,
       coalesce(counted.bytes, 0) AS bytes
FROM (VALUES (5, 'within a day'), (4, '1 to 7 days'), (3, '7 to 30 days'), (2, '30 to 90 days'), (1, 'longer'), (0, 'nobody knows'))
    AS bucket (number, age)
LEFT JOIN (
    SELECT CASE WHEN detached.detached_tid IS NULL THEN 0 ELSE width_bucket(detached.detached_tid, bound.tids) + 1 END AS number,
           count(*) AS objects,
           sum(detached.size) AS bytes
    FROM relpack.detached
    CROSS JOIN (
        SELECT ARRAY[
            relpack.time_to_tid(now() - interval '90 days'), relpack.time_to_tid(now() - interval '30 days'),
            relpack.time_to_tid(now() - interval '7 days'), relpack.time_to_tid(now() - interval '1 day')] AS tids
    ) AS bound
    GROUP BY 1
) AS counted USING (number)
ORDER BY bucket.number DESC;

COMMENT ON VIEW relpack.garbage_by_age IS
    'How long the unreachable objects have been so, as of the last pack. It reads all of them.';
COMMENT ON COLUMN relpack.garbage_by_age.age IS
    'Since the run noticed that they were cut off; "nobody knows": the first build found them so. In a history-preserving '
    'storage they were so at the last pack time, relpack.storage.horizon_tid, at the latest.';
COMMENT ON COLUMN relpack.garbage_by_age.objects IS 'How many they are.';
COMMENT ON COLUMN relpack.garbage_by_age.bytes IS 'Bytes of their states.';
