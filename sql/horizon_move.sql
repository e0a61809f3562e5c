-- The pack time of a history-preserving storage, and the graph that belongs to it. What
-- was cut off since another storage of the file was looked at may be referred to there by
-- now: as a history-free storage dates what it finds cut off, this one looks no further.
CREATE OR REPLACE FUNCTION relpack.horizon_move(pack_time timestamptz, OUT until_tid bigint, OUT listed bigint)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_storage relpack.storage;
    v_looked timestamptz := (SELECT min(looked) FROM relpack.referred_by);
BEGIN
    PERFORM relpack.trim_held();
    until_tid := relpack.trim_until(pack_time);
    v_storage := relpack.known_storage();
    IF v_storage.graph IN ('current', 'doubtful') THEN
        until_tid := least(until_tid, v_storage.listed_tid);
    END IF;
    IF v_looked < 'infinity' THEN
        until_tid := greatest(0, least(until_tid, relpack.time_to_tid(v_looked) - 1));
    END IF;
    listed := relpack.horizon_set(until_tid, coalesce(pack_time, 'infinity') < 'infinity');
END;
$$;

COMMENT ON FUNCTION relpack.horizon_move(timestamptz) IS
    'Fixes up to which tid a pack of a history-preserving storage with this pack time goes (until_tid). That is '
    'relpack.trim_until(), but not beyond what was listed, nor the last look at any storage in relpack.referred_by. Has the '
    'objects read again of which it keeps other revisions than the graph knows: so many (listed). For the session that '
    'holds the pack lock.';
