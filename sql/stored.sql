-- What is stored of each object: the one place in sql/ that reads object_state, but for
-- the steps of a trim, and a sweep that looks whether what it deleted is gone.
-- A query of a single SELECT is put in the place of the call before anything is
-- planned, with the rights of who asks, so that plans, row security and privileges
-- are those of the table: no SET clause, or it is not; each name says where it is.
-- Whether workers may help is asked before that: PARALLEL SAFE, as the table is.
-- No view: that would keep DROP TABLE, ALTER COLUMN TYPE and a pg_restore --clean
-- of RelStorage's tables alone from working, and go on reading a table that was
-- renamed while another one took its place.
CREATE OR REPLACE FUNCTION relpack.stored()
RETURNS TABLE (zoid bigint, tid bigint, state bytea)
LANGUAGE sql
STABLE PARALLEL SAFE
AS $$
    SELECT object_state.zoid, object_state.tid, object_state.state FROM public.object_state
$$;

COMMENT ON FUNCTION relpack.stored() IS
    'The objects that are stored, with transaction id and state, as public.object_state has them, in a history-preserving '
    'storage a row for each revision; as fast as the table itself. For every role that may SELECT there.';
