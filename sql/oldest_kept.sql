-- By the index on tid of object_state one would come through all that was removed and not
-- vacuumed. Rows of transaction that no revision names are left for a week, and are passed in
-- one order with what lists these, however many there are; one whose rows are gone may be
-- named as a predecessor.
CREATE OR REPLACE FUNCTION relpack.oldest_kept()
RETURNS bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_nestloop = off
SET enable_sort = off
AS $$
BEGIN
    RETURN (
        SELECT named.tid
        FROM (
            SELECT transaction.tid
            FROM public.transaction
            WHERE transaction.tid > 0
              AND NOT EXISTS (SELECT FROM relpack.emptied WHERE emptied.tid = transaction.tid)
            ORDER BY transaction.tid
            OFFSET 0
        ) AS named
        WHERE EXISTS (SELECT FROM relpack.stored() WHERE stored.tid = named.tid OFFSET 0)
        ORDER BY named.tid
        LIMIT 1);
END;
$$;

COMMENT ON FUNCTION relpack.oldest_kept() IS
    'The tid of the oldest revision that is stored in a history-preserving storage; NULL: there is none.';
