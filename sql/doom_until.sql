-- The horizon of a history-preserving storage is its pack time: what was cut off later
-- is still referred to by revisions that are kept. Transactions that were open when it
-- was chosen had seen what it is, and later ones see more; what the captures of a
-- history-free storage tell is not asked. But before a first build nobody reported what
-- was restored: who was open while it read may have seen all of it attached. And who
-- was open when another storage ceased to refer to this one may see there that it does.
CREATE OR REPLACE FUNCTION relpack.doom_until(pack_time timestamptz)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_storage relpack.storage;
    v_until timestamptz := coalesce(pack_time, 'infinity');
    v_oldest timestamptz;
    v_looked timestamptz := (SELECT min(looked) FROM relpack.referred_by);
BEGIN
    v_storage := relpack.known_storage();
    IF NOT v_storage.keeps_history THEN
        RETURN relpack.grace_cap(pack_time);
    END IF;
    IF v_until < 'infinity' AND (NOT v_storage.horizon_capped OR relpack.time_to_tid(v_until) < v_storage.horizon_tid) THEN
        RAISE EXCEPTION 'the graph is that of another pack time: what it calls garbage may be in use at this one'
            USING ERRCODE = 'RP002', HINT = 'Run "relpack pack --dry-run" with the same --days before.';
    END IF;
    IF v_looked < 'infinity' AND v_storage.horizon_tid >= greatest(relpack.time_to_tid(v_looked), 1) THEN
        RAISE EXCEPTION 'the graph is that of a pack time after the last look at another storage, which may refer to what was cut off since'
            USING ERRCODE = 'RP002', HINT = 'Run "relpack pack --dry-run" before.';
    END IF;
    IF v_until < 'infinity' THEN
        v_oldest := relpack.grace_oldest_transaction();
    END IF;
    IF least(v_until, v_oldest, v_looked) <= v_storage.unreferred THEN
        RETURN 0;
    END IF;
    IF EXISTS (SELECT FROM relpack.capture WHERE watermark = 0 AND read_until >= v_oldest) THEN
        RETURN 0;
    END IF;
    RETURN greatest(0, least(
        CASE WHEN v_until < 'infinity' THEN v_storage.horizon_tid ELSE 9223372036854775807 END,
        CASE WHEN v_looked < 'infinity' THEN relpack.time_to_tid(v_looked) - 1 END));
END;
$$;

COMMENT ON FUNCTION relpack.doom_until(timestamptz) IS
    'Step of relpack.doom(): up to which tid a pack with this pack time deletes: relpack.grace_cap(), or in a '
    'history-preserving storage the horizon of the graph. Raises RP002 where that is later than the pack time, or than the last '
    'look at any storage in relpack.referred_by.';
