-- Who restores a transaction that was trimmed, or whose predecessors were, may not have it
-- marked, and an undo of it would un-create objects. So all are marked up to where any trim
-- has come, be the pack time earlier now. Where nobody knows that, marks of before tell it.
-- What is loaded after a TRUNCATE was not trimmed, nor what is committed where the storage has
-- gone back, and the clock as well: it gets earlier tids.
CREATE OR REPLACE FUNCTION relpack.trim_marks(until_tid bigint)
RETURNS bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_marked bigint := (SELECT marked_tid FROM relpack.storage);
BEGIN
    IF v_marked < 0 THEN
        v_marked := (SELECT max(tid) FROM public.transaction WHERE packed);
    ELSIF v_marked > relpack.time_to_tid(clock_timestamp()) THEN
        v_marked := least(v_marked, (SELECT max(tid) FROM public.transaction));
    END IF;
    RETURN greatest(until_tid, v_marked, 0);
END;
$$;

COMMENT ON FUNCTION relpack.trim_marks(bigint) IS
    'Up to which tid a trim up to until_tid marks transactions as packed: until_tid, or as far as an earlier one may have '
    'removed revisions.';
