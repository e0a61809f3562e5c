CREATE OR REPLACE VIEW relpack.unreachable_object AS
SELECT detached.zoid,
       detached.tid,
       class.label AS class,
       detached.size,
       relpack.tid_to_time(detached.detached_tid) AS unreachable_since,
       greatest(relpack.tid_to_time(detached.since), storage.unreferred,
                CASE WHEN storage.keeps_history AND storage.horizon_tid > 0 THEN relpack.tid_to_time(storage.horizon_tid) END)
       + interval '24 hours' AS deletable_after
FROM relpack.detached
CROSS JOIN relpack.storage
JOIN relpack.class ON class.id = detached.class;

COMMENT ON VIEW relpack.unreachable_object IS
    'Every object that can''t be reached from the root, as of the last pack (with its --dry-run too), those within '
    'the grace included. Settled while relpack.suspect is empty.';
COMMENT ON COLUMN relpack.unreachable_object.zoid IS 'Object id.';
COMMENT ON COLUMN relpack.unreachable_object.tid IS 'Transaction that wrote it last; relpack.tid_to_time(tid) tells when.';
COMMENT ON COLUMN relpack.unreachable_object.class IS 'Its Python class.';
COMMENT ON COLUMN relpack.unreachable_object.size IS 'Bytes of its state.';
COMMENT ON COLUMN relpack.unreachable_object.unreachable_since IS
    'When the last transaction was written that the run knew of which found it cut off; '
    'if rows were deleted or restored in the meantime, when that was noticed. '
    'NULL: the first build found it so, nobody knows since when; or in a history-preserving storage a commit cut it off '
    'before the last pack time.';
COMMENT ON COLUMN relpack.unreachable_object.deletable_after IS
    'From when a pack with the default grace of one day deletes it, if nothing that stays refers to it. '
    'A grace that began when another storage ceased to refer to this one counts. '
    'In a history-preserving storage a day after the last pack time at the latest: an earlier one has more old revisions.';
