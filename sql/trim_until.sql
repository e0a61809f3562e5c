-- -1 is held from the choice of a tid to COMMIT: whoever has the newest tid of
-- before a transaction began has seen the one below, and so does that transaction.
-- Where tids are ahead of the clock, their order tells nothing about who has seen
-- them: nothing is trimmed beside an open transaction. Before RelStorage 3.0 tids are of
-- the clients' clocks, and tell nothing either: what was noted before the oldest
-- transaction began, it has seen. But what vanished is dated by the server's clock, and
-- a client's may be ahead: so its start counts as well.
CREATE OR REPLACE FUNCTION relpack.trim_until(pack_time timestamptz)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_newest bigint;
    v_oldest timestamptz;
    v_now timestamptz;
    v_seen bigint;
BEGIN
    PERFORM relpack.lock_storage(history => true);
    v_newest := (SELECT max(tid) FROM public.transaction);
    IF v_newest IS NULL THEN
        RAISE EXCEPTION 'the storage has no transactions'
            USING ERRCODE = 'RP002', HINT = 'RelStorage keeps one with tid 0: a restore may not have come to an end.';
    END IF;
    IF pack_time IS NULL OR pack_time = 'infinity' THEN
        RETURN v_newest;
    END IF;
    v_oldest := relpack.grace_oldest_transaction();
    v_now := clock_timestamp();
    IF relpack.lock_protocol() = 'table' THEN
        IF v_oldest IS NOT NULL THEN
            v_seen := coalesce((SELECT max(tid) FROM relpack.committed WHERE noted < v_oldest AND tid <= v_newest), 0);
        END IF;
        DELETE FROM relpack.committed
        WHERE noted < (SELECT max(noted) FROM relpack.committed WHERE noted < coalesce(v_oldest, 'infinity'));
        PERFORM relpack.trim_committed();
        RETURN least(v_newest, relpack.time_to_tid(least(pack_time, v_now, v_oldest)), v_seen);
    END IF;
    IF v_oldest IS NOT NULL AND (v_oldest > v_now OR v_newest > relpack.time_to_tid(v_now)) THEN
        RETURN 0;
    END IF;
    RETURN least(
        v_newest,
        relpack.time_to_tid(least(pack_time, v_now)),
        CASE WHEN v_oldest IS NOT NULL THEN coalesce((
            SELECT max(tid)
            FROM public.transaction
            WHERE tid < (SELECT max(tid) FROM public.transaction WHERE tid <= relpack.time_to_tid(v_oldest))), 0)
        END);
END;
$$;

COMMENT ON FUNCTION relpack.trim_until(timestamptz) IS
    'Up to which tid a pack of a history-preserving storage with this pack time trims: not beyond the newest '
    'transaction, nor beyond what the oldest open transaction of other clients has seen. NULL: up to the newest '
    'transaction, whoever reads.';
