-- Events and pending objects are few as a rule; commits are found by RelStorage's
-- own index on object_state (tid).
CREATE OR REPLACE FUNCTION relpack.unapplied()
RETURNS SETOF bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    v_applied bigint := (SELECT storage.applied_tid FROM relpack.storage);
BEGIN
    RETURN QUERY
    SELECT stored.zoid
    FROM relpack.stored()
    WHERE stored.tid > v_applied
    UNION
    SELECT write_event.zoid
    FROM relpack.write_event
    WHERE write_event.zoid IS NOT NULL
    UNION
    SELECT pending.zoid
    FROM relpack.pending;
END;
$$;

COMMENT ON FUNCTION relpack.unapplied() IS
    'Objects that were written, restored or deleted since the graph was brought up to date: what the next pack reads. '
    'After a TRUNCATE of object_state more may have changed: see relpack.write_event.';
