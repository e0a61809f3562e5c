-- A transaction that can be undone names what was before it. Where that has vanished, an
-- undo needs the row, and copies its file: both may be put back until the transaction is
-- packed. Each look is one by a key.
CREATE OR REPLACE FUNCTION relpack.blobs_named(zoids bigint[], tids bigint[], after_tid bigint, OUT zoid bigint, OUT tid bigint)
RETURNS SETOF record
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
BEGIN
    RETURN QUERY
    SELECT DISTINCT named.zoid, named.tid
    FROM relpack.trim_named(zoids, tids, after_tid) AS named
    WHERE (SELECT wrote.packed FROM public.transaction AS wrote WHERE wrote.tid = named.named_by) IS NOT TRUE;
END;
$$;

COMMENT ON FUNCTION relpack.blobs_named(bigint[], bigint[], bigint) IS
    'Which of these revisions of a history-preserving storage are named as their predecessor by stored ones later '
    'than after_tid whose transaction can be undone.';
