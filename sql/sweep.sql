-- Deletes one batch of garbage, or leaves everything as it was. The rows are
-- deleted first, while the site goes on: nobody needs them. Only then, for a
-- check and the commit, the writers' lock: had anybody stored a reference to
-- something unreachable since the graph was settled, the batch is rolled back.
CREATE OR REPLACE FUNCTION relpack.sweep(
    batch integer DEFAULT 10000,
    pack_time timestamptz DEFAULT now() - interval '1 day',
    decoder boolean DEFAULT false,
    OUT outcome text, OUT objects bigint, OUT bytes bigint, OUT blobs bigint, OUT remaining bigint)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
DECLARE
    v_batch bigint[];
    v_zoids bigint[];
    v_tids bigint[];
    v_known bigint;
    v_last bigint;
    v_high bigint;
    v_inrefs bigint;
    v_nodes bigint;
    v_path text := (SELECT reset_val FROM pg_settings WHERE name = 'search_path');
BEGIN
    -- Whatever wrote before in this transaction would hold the lock on.
    IF EXISTS (SELECT FROM relpack.writer WHERE pid = pg_backend_pid()) THEN
        RAISE EXCEPTION 'this transaction has written to object_state already'
            USING ERRCODE = 'RP002', HINT = 'Call relpack.sweep() outside BEGIN ... COMMIT, once a statement.';
    END IF;
    IF batch NOT BETWEEN 1 AND 1000000 THEN
        RAISE EXCEPTION 'a batch has 1 to 1000000 objects, not %', batch USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM relpack.require_pack_lock();
    PERFORM relpack.require_settled();
    PERFORM relpack.require_unreferred();
    IF relpack.doomed_otherwise(pack_time) THEN
        PERFORM relpack.doom(pack_time);
    END IF;
    objects := 0;
    bytes := 0;
    blobs := 0;
    v_batch := relpack.choose_batch(batch);
    IF v_batch IS NULL THEN
        outcome := 'done';
        remaining := 0;
        RETURN;
    END IF;

    BEGIN
        PERFORM set_config('relpack.sweeping', pg_current_xact_id()::text, true);
        IF current_setting('synchronous_commit') = 'off' THEN
            PERFORM set_config('synchronous_commit', 'on', true);
        END IF;
        SELECT max(tid) INTO v_last FROM public.object_state;
        SELECT max(zoid) INTO v_high FROM relpack.object WHERE coalesce(parent, -1) = -1;

        -- A RelStorage before 3.0 locks the table for each of its commits. A row
        -- is as good as not waited for: whoever holds one may wait for us.
        -- RelStorage's trigger that unlinks large objects names blob_chunk
        -- without its schema, and triggers of others what the database's path has.
        PERFORM set_config('lock_timeout', '100ms', true);
        LOCK TABLE public.object_state IN ROW EXCLUSIVE MODE;
        -- Plans go by the index, however long the batch: they need not be made
        -- anew for each, which takes as long as to delete a thousand objects.
        -- A kept plan that scans a table looks through the batch for each row.
        PERFORM set_config('lock_timeout', '1ms', true),
                set_config('enable_seqscan', 'off', true),
                set_config('enable_bitmapscan', 'off', true),
                set_config('plan_cache_mode', 'force_generic_plan', true),
                set_config('search_path', concat_ws(', ', 'pg_catalog', nullif(v_path, ''), 'public', 'pg_temp'), true);
        WITH deleted AS (
            DELETE FROM public.object_state WHERE zoid = ANY (v_batch) RETURNING zoid, tid
        )
        SELECT array_agg(zoid), array_agg(tid), count(*)
        INTO v_zoids, v_tids, objects
        FROM deleted;
        PERFORM set_config('lock_timeout', '100ms', true),
                set_config('search_path', 'pg_catalog, pg_temp', true);

        DELETE FROM relpack.object_inref WHERE inref = ANY (v_batch);
        GET DIAGNOSTICS v_inrefs = ROW_COUNT;
        -- Of a component too large for a batch something may refer to what is
        -- gone, and be referred to again before it goes as well.
        INSERT INTO relpack.dangling (zoid)
        SELECT DISTINCT zoid FROM relpack.object_inref WHERE zoid = ANY (v_batch)
        ON CONFLICT DO NOTHING;
        WITH gone AS (
            DELETE FROM relpack.object WHERE zoid = ANY (v_batch) AND parent IS NULL RETURNING zoid, tid, size, class
        ), files AS (
            INSERT INTO relpack.blob_removal (zoid, tid)
            SELECT zoid, tid FROM gone WHERE class = 1
            ON CONFLICT DO NOTHING
        )
        SELECT count(gone.zoid), coalesce(sum(gone.size), 0), count(*) FILTER (WHERE gone.class = 1),
               count(*) FILTER (WHERE deleted.tid = gone.tid)
        INTO v_nodes, bytes, blobs, v_known
        FROM gone
        FULL JOIN unnest(v_zoids, v_tids) AS deleted (zoid, tid) ON deleted.zoid = gone.zoid;
        -- Nothing but what is unreachable, in the revision that is known.
        IF v_nodes <> cardinality(v_batch) OR v_known <> objects THEN
            RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'stale';
        END IF;
        DELETE FROM relpack.doomed WHERE zoid = ANY (v_batch);
        DELETE FROM relpack.problem WHERE zoid = ANY (v_batch);
        IF EXISTS (SELECT FROM relpack.foreign_reference) THEN
            DELETE FROM relpack.foreign_reference WHERE inref = ANY (v_batch);
        END IF;
        PERFORM set_config('plan_cache_mode', 'force_custom_plan', true),
                set_config('enable_seqscan', 'on', true),
                set_config('enable_bitmapscan', 'on', true);
        remaining := (SELECT count(*) FROM relpack.doomed);
        UPDATE relpack.storage
        SET objects = storage.objects - v_nodes,
            inrefs = storage.inrefs - v_inrefs,
            begun_until = CASE WHEN sweep.remaining > 0 THEN greatest(storage.begun_until, storage.doomed_until) ELSE 0 END;

        CASE relpack.nothing_new(v_batch, v_last, v_high, decoder)
        WHEN 'busy' THEN RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'busy';
        WHEN 'stale' THEN RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'stale';
        WHEN 'undecoded' THEN
            -- Nobody can commit before this is taken away.
            INSERT INTO relpack.undecoded DEFAULT VALUES;
            outcome := 'undecoded';
        ELSE outcome := 'swept';
        END CASE;
    EXCEPTION
        WHEN SQLSTATE 'RP003' THEN
            outcome := SQLERRM;
        WHEN lock_not_available OR deadlock_detected THEN
            outcome := 'busy';
    END;
    IF outcome NOT IN ('swept', 'undecoded') THEN
        objects := 0;
        bytes := 0;
        blobs := 0;
        remaining := (SELECT count(*) FROM relpack.doomed);
        RETURN;
    END IF;
    -- Outlive the function: a client that stops before the commit, or goes on
    -- in an open transaction, lets go of the lock.
    PERFORM set_config('idle_in_transaction_session_timeout', '2s', true),
            set_config('statement_timeout', '2s', true);
    IF current_setting('server_version_num')::int >= 170000 THEN
        PERFORM set_config('transaction_timeout', '2s', true);
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.sweep(integer, timestamptz, boolean) IS
    'Deletes up to batch unreachable objects that were last changed and cut off before pack_time (NULL: all unreachable ones), and cleans the graph. outcome: swept; done: there is nothing to delete; busy: a writer was in the way, try again; stale: something was written that may refer to garbage, run "relpack pack". Unless swept, everything is as it was. bytes of states; remaining: chosen, not yet deleted. Call it outside BEGIN ... COMMIT: in an open transaction it holds up the site, for 2 seconds at most. decoder is for relpack itself, which decodes what was written meanwhile: undecoded can''t be committed until relpack has found that none of it refers to what is unreachable or gone.';
