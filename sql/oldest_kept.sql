-- By the index on tid one comes through all that was removed and not vacuumed: once, as it
-- begins where the last pack found the oldest one. An older one that is restored is an event,
-- or a reason for doubt.
CREATE OR REPLACE FUNCTION relpack.oldest_kept()
RETURNS bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    v_from bigint := coalesce((
        SELECT oldest_tid
        FROM relpack.storage
        WHERE graph = 'current'
          AND NOT EXISTS (SELECT FROM relpack.write_event WHERE kind <> 'ahead')
          AND relpack.doubt() IS NULL), 0);
BEGIN
    RETURN (SELECT min(stored.tid) FROM relpack.stored() WHERE stored.tid > 0 AND stored.tid >= v_from);
END;
$$;

COMMENT ON FUNCTION relpack.oldest_kept() IS
    'The tid of the oldest revision that is stored in a history-preserving storage; NULL: there is none.';
