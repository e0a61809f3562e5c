-- All transactions are asked about, whatever the caller has set: who has one marked no more
-- makes no event.
CREATE OR REPLACE FUNCTION relpack.trim_undoable(until_tid bigint)
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = on
SET enable_bitmapscan = on
AS $$
DECLARE
    v_until bigint := relpack.trim_marks(until_tid);
BEGIN
    -- By the index on them: EXISTS reads the table where many later ones are not marked.
    RETURN (SELECT min(tid) FROM public.transaction WHERE tid > 0 AND tid <= v_until AND packed IS NOT TRUE) IS NOT NULL;
END;
$$;

COMMENT ON FUNCTION relpack.trim_undoable(bigint) IS
    'Whether a transaction is not marked as packed that a trim up to until_tid marks (relpack.trim_marks()), so that it can '
    'be undone.';
