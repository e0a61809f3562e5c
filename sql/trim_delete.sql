-- The one place that deletes revisions. A row is as good as not waited for. Large
-- objects are unlinked by RelStorage's trigger on blob_chunk, and only there: two
-- revisions may share one. It names blob_chunk without its schema, and counts: no
-- other table of that name may be found first. Files of blobs are listed, and go later,
-- by exact revision: the plain state of a blob begins with its class (a node of a BTree
-- may name it a little later), and is so short that zlibstorage (.z) leaves it plain; what
-- begins with a dot otherwise and is short may be an encrypted one. What triggers and
-- rules of others make of a DELETE is not asked beforehand: afterwards no row may be left,
-- and each large object that a row names must be there. Where there are none, rows that
-- were returned are gone. The keys' own queries would be planned anew for each row but for
-- plan_cache_mode. The rows for the triggers are kept in work_mem.
-- Of each object the rows from the oldest to the newest of these are read, once: a batch
-- of a trim has all of them but those that later ones name. A comparison of rows goes by
-- the primary key, and without enable_material no plan compares all rows with all objects.
-- Where a step of a trim looks each revision up by itself, it does so by BETWEEN: of two
-- indexes that serve a plain comparison, the planner may take the one on tid, and read all
-- of a transaction for each of its revisions; in a join it may compare all revisions of an
-- object with each other. What is looked up is in the order of the index, so that one look
-- after the other finds the same pages.
CREATE OR REPLACE FUNCTION relpack.trim_delete(
    zoids bigint[], tids bigint[], whiteouts boolean,
    OUT revisions bigint, OUT bytes bigint, OUT seconds double precision,
    OUT gone_zoids bigint[], OUT gone_tids bigint[], OUT gone_sizes bigint[],
    OUT large bigint, OUT large_bytes bigint)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '1ms'
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_material = off
SET plan_cache_mode = force_generic_plan
SET work_mem = '16MB'
AS $$
DECLARE
    v_named bigint[];
    v_file_zoids bigint[];
    v_file_tids bigint[];
    v_blobs record;
    v_others boolean;
    v_begun timestamptz;
    v_stay oid[];
    v_listed bigint;
BEGIN
    v_blobs := relpack.trim_blobs(zoids, tids);
    large := 0;
    large_bytes := 0;
    IF v_blobs.large IS NOT NULL THEN
        BEGIN
            large_bytes := relpack.large_object_bytes(v_blobs.large);
        EXCEPTION WHEN undefined_object THEN
            large_bytes := NULL; -- somebody unlinks one meanwhile
        END;
    END IF;
    v_begun := clock_timestamp();
    SET LOCAL search_path TO DEFAULT;
    PERFORM set_config(
        'search_path',
        concat_ws(', ', 'pg_catalog', 'public', nullif(current_setting('search_path'), ''), 'pg_temp'),
        true);
    PERFORM set_config('work_mem', '64MB', true);
    WITH deleted AS (
        DELETE FROM public.object_state AS stored
        USING (
            SELECT chosen.zoid, min(chosen.tid) AS oldest, max(chosen.tid) AS newest
            FROM (SELECT unnest(zoids) AS zoid, unnest(tids) AS tid) AS chosen
            GROUP BY chosen.zoid
            ORDER BY chosen.zoid
        ) AS object
        WHERE stored.zoid = object.zoid
          AND (stored.zoid, stored.tid) >= (object.zoid, object.oldest)
          AND (stored.zoid, stored.tid) <= (object.zoid, object.newest)
          AND ((stored.zoid, stored.tid) IN (SELECT unnest(zoids), unnest(tids))) IS TRUE
          AND (NOT whiteouts OR stored.state IS NULL)
        RETURNING stored.zoid, stored.tid, stored.prev_tid, stored.state_size,
                  position('ZODB.blob'::bytea IN substring(stored.state FROM 1 FOR 24)) > 0
                  OR (substring(stored.state FROM 1 FOR 1) = '.' AND substring(stored.state FROM 1 FOR 2) <> '.z'
                      AND stored.state_size < 300) AS file
    )
    SELECT array_agg(deleted.zoid), array_agg(deleted.tid), array_agg(deleted.state_size), array_agg(deleted.prev_tid),
           array_agg(deleted.zoid) FILTER (WHERE deleted.file), array_agg(deleted.tid) FILTER (WHERE deleted.file),
           count(*), coalesce(sum(deleted.state_size), 0)
    INTO gone_zoids, gone_tids, gone_sizes, v_named, v_file_zoids, v_file_tids, revisions, bytes
    FROM deleted;
    PERFORM set_config('search_path', 'pg_catalog, pg_temp', true),
            set_config('work_mem', '16MB', true);
    seconds := extract(epoch FROM clock_timestamp() - v_begun);
    v_others := EXISTS (
        SELECT
        FROM pg_trigger
        JOIN pg_proc ON pg_proc.oid = tgfoid
        WHERE NOT tgisinternal
          AND ((tgrelid = 'public.object_state'::regclass AND pronamespace <> 'relpack'::regnamespace)
               OR (tgrelid = to_regclass('public.blob_chunk') AND tgname NOT LIKE 'blob\_chunk\_delete%')));
    IF (v_others OR revisions <> cardinality(zoids))
       AND EXISTS (
               SELECT
               FROM unnest(zoids, tids) AS chosen (zoid, tid)
               CROSS JOIN LATERAL (
                   SELECT FROM public.object_state
                   WHERE object_state.zoid = chosen.zoid AND object_state.tid BETWEEN chosen.tid AND chosen.tid
                   OFFSET 0
               ) AS stored) THEN
        PERFORM relpack.trim_left();
    END IF;
    IF (v_others OR v_blobs.zoids IS NOT NULL) AND to_regclass('public.blob_chunk') IS NOT NULL THEN
        IF EXISTS (SELECT
                   FROM unnest(gone_zoids, gone_tids) AS gone (zoid, tid)
                   JOIN public.blob_chunk ON blob_chunk.zoid = gone.zoid AND blob_chunk.tid = gone.tid) THEN
            PERFORM relpack.trim_left();
        END IF;
        IF v_blobs.large IS NOT NULL AND EXISTS (
            SELECT
            FROM (SELECT DISTINCT unnest(zoids) AS zoid) AS object
            JOIN public.blob_chunk ON blob_chunk.zoid = object.zoid
            WHERE (blob_chunk.chunk IN (SELECT unnest(v_blobs.large))) IS TRUE
              AND NOT EXISTS (SELECT FROM pg_largeobject_metadata AS known WHERE known.oid = blob_chunk.chunk)) THEN
            RAISE EXCEPTION 'a trigger of blob_chunk unlinks large objects that other revisions name'
                USING ERRCODE = 'RP002', HINT = 'Nothing of this batch was deleted. Look at its trigger blob_chunk_delete.';
        END IF;
    END IF;
    IF v_blobs.large IS NOT NULL THEN
        v_stay := ARRAY(SELECT known.oid FROM pg_largeobject_metadata AS known WHERE known.oid = ANY (v_blobs.large));
        large := cardinality(v_blobs.large) - cardinality(v_stay);
        BEGIN
            large_bytes := large_bytes - relpack.large_object_bytes(v_stay);
        EXCEPTION WHEN undefined_object THEN
            large_bytes := NULL;
        END;
    END IF;
    IF v_file_zoids IS NOT NULL THEN
        -- In the database there is no file. One that was restored meanwhile is removed anew:
        -- who began since then may read it.
        INSERT INTO relpack.blob_removal (zoid, tid)
        SELECT listed.zoid, listed.tid
        FROM unnest(v_file_zoids, v_file_tids) AS listed (zoid, tid)
        WHERE ((listed.zoid, listed.tid) IN (
                  SELECT held.zoid, held.tid FROM unnest(v_blobs.zoids, v_blobs.tids) AS held (zoid, tid))) IS NOT TRUE
        ON CONFLICT (zoid, tid) DO UPDATE SET since = NULL, missed = NULL;
    END IF;
    WITH listed AS (
        INSERT INTO relpack.emptied (tid)
        SELECT named.tid
        FROM (SELECT DISTINCT unnest(gone_tids || v_named) AS tid ORDER BY 1) AS named
        WHERE named.tid > 0
          AND NOT EXISTS (SELECT FROM public.object_state WHERE object_state.tid = named.tid)
          AND NOT EXISTS (SELECT FROM public.object_state WHERE object_state.prev_tid = named.tid)
        ON CONFLICT (tid) DO UPDATE SET since = excluded.since
        RETURNING xmax = 0 AS added -- and not listed before
    )
    SELECT count(*) INTO v_listed FROM listed WHERE added;
    IF v_listed > 0 THEN
        UPDATE relpack.storage SET emptied = emptied + v_listed;
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.trim_delete(bigint[], bigint[], boolean) IS
    'Step of a trim: deletes these revisions, which its caller has judged. whiteouts: if they have no state. seconds: how '
    'long the DELETE took; gone_zoids, gone_tids, gone_sizes: what it deleted; large, large_bytes: how many '
    'large objects went, and their length, NULL where this '
    'role may not read one. Lists files of blobs among these in '
    'relpack.blob_removal, and transactions that no row names any more in relpack.emptied. Raises RP002 when a '
    'trigger of somebody else kept one, or unlinked what is still named, RP003 (changed) when one was written meanwhile, '
    'lock_not_available when one is locked.';
