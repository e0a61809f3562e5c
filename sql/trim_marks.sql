-- Who restores a transaction that was trimmed, or whose predecessors were, may not have it
-- marked, and an undo of it would un-create objects. So all are marked up to where any trim
-- has come, be the pack time earlier now. What is loaded after a TRUNCATE was not trimmed.
CREATE OR REPLACE FUNCTION relpack.trim_marks(until_tid bigint)
RETURNS bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN greatest(until_tid, (SELECT marked_tid FROM relpack.storage));
END;
$$;

COMMENT ON FUNCTION relpack.trim_marks(bigint) IS
    'Up to which tid a trim up to until_tid marks transactions as packed: until_tid, or as far as an earlier one may have '
    'removed revisions.';
