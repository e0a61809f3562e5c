-- Deletes a chosen batch, or raises RP003 with the outcome: the caller rolls back.
-- What takes long, and locks nothing of the site's, comes first. Then rows, in
-- pieces: as long as one is deleted, whoever writes one of them waits for us, and
-- the site for him if he commits. Pieces grow until they take what a commit may be
-- kept waiting; blobs, whose large objects have no size that can be had, begin with
-- one.
-- Locks are taken in one order: object_state, RelStorage's commit lock, the
-- writers' lock, current_object, rows. A commit before RelStorage 3.0 locks all of
-- current_object.
CREATE OR REPLACE FUNCTION relpack.sweep_batch(
    chosen bigint[], saturated boolean, decoder boolean,
    OUT outcome text, OUT objects bigint, OUT bytes bigint, OUT blobs bigint)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
SET enable_seqscan = off
SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_last bigint := relpack.newest_tid();
    v_zoids bigint[];
    v_weights bigint[];
    v_plain integer;
    v_room bigint := 20;  -- weight of the next piece
    v_from integer := 1;
    v_to integer;
    v_before bigint := 0;
    v_start timestamptz;
    v_piece bigint[];
    v_deleted record;
    v_inrefs bigint;
BEGIN
    -- On the disk, but not on that of a standby: see relpack.commit_locally().
    PERFORM set_config('synchronous_commit', 'local', true);
    LOCK TABLE public.object_state IN ROW EXCLUSIVE MODE;
    -- Keys stay as they are found from here on.
    PERFORM relpack.require_cleared();
    IF saturated AND NOT relpack.line_up() THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'busy';
    END IF;
    -- Rather before anything is done in vain; without the lock it proves nothing.
    IF relpack.sweep_recheck(v_last, decoder) = 'stale' THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'stale';
    END IF;
    -- What another table's key holds back is to be found here, not by the COMMIT.
    SET CONSTRAINTS ALL IMMEDIATE;
    SET CONSTRAINTS relpack.what_was_written_must_be_decoded DEFERRED;
    SELECT ordered.zoids, ordered.weights, ordered.plain
    INTO v_zoids, v_weights, v_plain
    FROM relpack.sweep_order(chosen) AS ordered;
    DELETE FROM relpack.object_inref WHERE inref = ANY (chosen);
    GET DIAGNOSTICS v_inrefs = ROW_COUNT;
    -- Of a component too large for a batch something may refer to what is
    -- gone, and be referred to again before it goes as well.
    INSERT INTO relpack.dangling (zoid)
    SELECT DISTINCT zoid FROM relpack.object_inref WHERE zoid = ANY (chosen)
    ON CONFLICT DO NOTHING;

    objects := 0;
    bytes := 0;
    blobs := 0;
    IF relpack.keeps_history() THEN
        LOCK TABLE public.current_object IN ROW EXCLUSIVE MODE;
    END IF;
    WHILE v_from <= cardinality(v_zoids) LOOP
        v_to := greatest(v_from, width_bucket(v_before + v_room, v_weights));
        IF v_from <= v_plain THEN
            v_to := least(v_to, v_plain);
        ELSIF v_from = v_plain + 1 THEN
            v_to := v_from;
        END IF;
        v_piece := v_zoids[v_from:v_to];
        v_start := clock_timestamp();
        v_deleted := relpack.sweep_piece(v_piece);
        objects := objects + v_deleted.objects;
        bytes := bytes + v_deleted.bytes;
        blobs := blobs + v_deleted.blobs;
        -- Who is held up by the commit lock waits for the end in any case.
        IF NOT saturated AND relpack.anyone_waits() THEN
            RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'busy';
        END IF;
        v_room := greatest(
            1,
            (v_weights[v_to] - v_before)
            * least(4, 30 / greatest(extract(epoch FROM clock_timestamp() - v_start) * 1000, 1)));
        v_before := v_weights[v_to];
        v_from := v_to + 1;
    END LOOP;
    IF v_from <= cardinality(chosen) THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'stale';
    END IF;
    UPDATE relpack.storage
    SET objects = storage.objects - cardinality(chosen),
        inrefs = storage.inrefs - v_inrefs;

    IF NOT saturated AND NOT relpack.try_writers_lock('50 ms', rows_locked => true) THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003',
                              MESSAGE = CASE WHEN relpack.anyone_waits() THEN 'busy' ELSE 'saturated' END;
    END IF;
    outcome := relpack.sweep_recheck(v_last, decoder);
    IF outcome = 'stale' THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'stale';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.sweep_batch(bigint[], boolean, boolean) IS
    'Step of relpack.sweep(): deletes the chosen objects with their nodes and references. '
    'Then it takes the writers'' lock, and looks whether anything is new: outcome "nothing new" or undecoded. '
    'All else is raised, as RP003: busy, stale, or saturated where the writers'' lock was not to be had in time: then '
    'call it with saturated, for what is deleted in some 30 ms, and it waits for RelStorage''s commit lock before it '
    'deletes.';
