-- What a sweep that decodes has to look at before it may commit. With the rights
-- of who asks: states are shown to nobody who may not read them in object_state.
-- No view, which would keep its owner from altering or dropping the table.
CREATE OR REPLACE FUNCTION relpack.fresh_state()
RETURNS TABLE (zoid bigint, tid bigint, state bytea)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
BEGIN
    RETURN QUERY
    SELECT stored.zoid, stored.tid, stored.state
    FROM relpack.stored()
    WHERE stored.tid > (SELECT storage.applied_tid FROM relpack.storage)
    UNION ALL
    SELECT stored.zoid, stored.tid, stored.state
    FROM relpack.write_event
    JOIN relpack.stored() ON stored.zoid = write_event.zoid;
END;
$$;

COMMENT ON FUNCTION relpack.fresh_state() IS
    'Objects written since the graph was brought up to date, with their states as stored now; one may be in it twice.';
