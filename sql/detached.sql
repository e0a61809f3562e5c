-- Objects without a parent, found by the index object_detached, which has this
-- very condition; its migration says why it is not "parent IS NULL". A view of one
-- table and one condition is put in the place of its name before anything is planned.
CREATE OR REPLACE VIEW relpack.detached AS
SELECT object.zoid,
       object.tid,
       object.class,
       object.size,
       object.detached_tid,
       coalesce(object.detached_tid, object.tid) AS since
FROM relpack.object
WHERE coalesce(object.parent, -1) = -1;

COMMENT ON VIEW relpack.detached IS
    'The objects that have no parent: those that can''t be reached from the root, once relpack.suspect is empty. '
    'relpack.unreachable_object shows them to people.';
COMMENT ON COLUMN relpack.detached.zoid IS 'Object id.';
COMMENT ON COLUMN relpack.detached.tid IS 'Transaction id of the revision whose references are recorded.';
COMMENT ON COLUMN relpack.detached.class IS 'Its class in relpack.class.';
COMMENT ON COLUMN relpack.detached.size IS 'Bytes of its state.';
COMMENT ON COLUMN relpack.detached.detached_tid IS
    'As in relpack.object: NULL where the first build found it unreachable, or a history dates it.';
COMMENT ON COLUMN relpack.detached.since IS 'When its grace begins, as a tid: detached_tid, or tid where that is NULL.';
