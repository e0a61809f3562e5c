-- The one place that deletes revisions. A row is as good as not waited for. Large
-- objects are unlinked by RelStorage's trigger on blob_chunk, and only there: two
-- revisions may share one. It names blob_chunk without its schema, and counts: no
-- other table of that name may be found first. Files of blobs go later, by exact
-- revision. What triggers and rules of others make of a DELETE is not asked
-- beforehand: afterwards no row may be left, and each large object that a row names
-- must be there. The keys' own queries would be planned anew for each row but for
-- plan_cache_mode.
-- Each revision is looked up by itself, by BETWEEN, here and by the other steps of a trim:
-- of two indexes that serve a plain comparison, the planner may take the one on tid, and
-- read all of a transaction for each of its revisions; in a join it may compare all
-- revisions of an object with each other.
CREATE OR REPLACE FUNCTION relpack.trim_delete(
    zoids bigint[], tids bigint[], whiteouts boolean,
    OUT revisions bigint, OUT bytes bigint, OUT seconds double precision)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '1ms'
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_tidscan = on
SET plan_cache_mode = force_custom_plan
SET work_mem = '16MB'
AS $$
DECLARE
    v_gone_zoids bigint[];
    v_gone_tids bigint[];
    v_named bigint[];
    v_large oid[];
    v_begun timestamptz;
BEGIN
    v_large := relpack.trim_blobs(zoids, tids);
    v_begun := clock_timestamp();
    SET LOCAL search_path TO DEFAULT;
    PERFORM set_config(
        'search_path',
        concat_ws(', ', 'pg_catalog', 'public', nullif(current_setting('search_path'), ''), 'pg_temp'),
        true);
    PERFORM set_config('plan_cache_mode', 'auto', true);
    WITH deleted AS (
        DELETE FROM public.object_state AS stored
        WHERE stored.ctid = ANY (ARRAY(
                  SELECT found.ctid
                  FROM unnest(zoids, tids) AS chosen (zoid, tid)
                  CROSS JOIN LATERAL (
                      SELECT object_state.ctid
                      FROM public.object_state
                      WHERE object_state.zoid = chosen.zoid
                        AND object_state.tid BETWEEN chosen.tid AND chosen.tid
                      OFFSET 0
                  ) AS found))
          -- Looked at again where somebody has written the row meanwhile.
          AND ((stored.zoid, stored.tid) IN (SELECT asked.zoid, asked.tid FROM unnest(zoids, tids) AS asked (zoid, tid))) IS TRUE
          AND (NOT whiteouts OR stored.state IS NULL)
        RETURNING stored.zoid, stored.tid, stored.prev_tid, stored.state_size
    )
    SELECT array_agg(deleted.zoid), array_agg(deleted.tid), array_agg(deleted.prev_tid),
           count(*), coalesce(sum(deleted.state_size), 0)
    INTO v_gone_zoids, v_gone_tids, v_named, revisions, bytes
    FROM deleted;
    PERFORM set_config('search_path', 'pg_catalog, pg_temp', true),
            set_config('plan_cache_mode', 'force_custom_plan', true);
    seconds := extract(epoch FROM clock_timestamp() - v_begun);
    IF EXISTS (SELECT
               FROM unnest(zoids, tids) AS chosen (zoid, tid)
               CROSS JOIN LATERAL (
                   SELECT FROM public.object_state
                   WHERE object_state.zoid = chosen.zoid AND object_state.tid BETWEEN chosen.tid AND chosen.tid
                   OFFSET 0
               ) AS stored) THEN
        PERFORM relpack.trim_left();
    END IF;
    IF to_regclass('public.blob_chunk') IS NOT NULL THEN
        IF EXISTS (SELECT
                   FROM unnest(v_gone_zoids, v_gone_tids) AS gone (zoid, tid)
                   JOIN public.blob_chunk ON blob_chunk.zoid = gone.zoid AND blob_chunk.tid = gone.tid) THEN
            PERFORM relpack.trim_left();
        END IF;
        IF v_large IS NOT NULL AND EXISTS (
            SELECT
            FROM (SELECT DISTINCT unnest(zoids) AS zoid) AS object
            JOIN public.blob_chunk ON blob_chunk.zoid = object.zoid
            WHERE blob_chunk.chunk = ANY (v_large)
              AND NOT EXISTS (SELECT FROM pg_largeobject_metadata AS known WHERE known.oid = blob_chunk.chunk)) THEN
            RAISE EXCEPTION 'a trigger of blob_chunk unlinks large objects that other revisions name'
                USING ERRCODE = 'RP002', HINT = 'Nothing of this batch was deleted. Look at its trigger blob_chunk_delete.';
        END IF;
    END IF;
    INSERT INTO relpack.emptied (tid)
    SELECT named.tid
    FROM (SELECT DISTINCT unnest(v_gone_tids || v_named) AS tid) AS named
    WHERE named.tid > 0
      AND NOT EXISTS (SELECT FROM public.object_state WHERE object_state.tid = named.tid)
      AND NOT EXISTS (SELECT FROM public.object_state WHERE object_state.prev_tid = named.tid)
    ON CONFLICT (tid) DO UPDATE SET since = excluded.since;
END;
$$;

COMMENT ON FUNCTION relpack.trim_delete(bigint[], bigint[], boolean) IS
    'Step of a trim: deletes these revisions, which its caller has judged. whiteouts: if they have no state. seconds: how '
    'long the DELETE took. Lists transactions that no row names any more in relpack.emptied. Raises RP002 when a '
    'trigger of somebody else kept one, or unlinked what is still named, RP003 (changed) when one was written meanwhile, '
    'lock_not_available when one is locked.';
