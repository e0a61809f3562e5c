-- Nothing else of relpack's deletes rows of object_state but relpack.trim_delete(), which
-- does it for this one where history is kept. Each function that deletes garbage comes
-- here, for some of its objects at a time. A row is as
-- good as not waited for: whoever holds one may wait for us. RelStorage's trigger
-- that unlinks large objects names blob_chunk without its schema, and triggers of
-- others what the database's path has. Plans go by the index, however many the
-- objects: they need not be made each time, which takes as long as to delete
-- a thousand objects. What triggers, policies and rules of others make of a DELETE
-- is not asked beforehand: afterwards no row may be left, here or in blob_chunk,
-- or nothing is deleted at all. To look for each of them again is left out where the
-- DELETE returned all of them and no trigger of others could store one again: writers have
-- to wait for our rows, where history is kept for those of current_object, and who creates a
-- trigger for our lock on the table.
CREATE OR REPLACE FUNCTION relpack.sweep_delete(chosen bigint[], OUT zoids bigint[], OUT tids bigint[])
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '1ms'
SET enable_seqscan = off
SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_gone boolean;
BEGIN
    IF relpack.keeps_history() THEN
        SELECT gone.zoids, gone.tids INTO zoids, tids FROM relpack.sweep_history(chosen) AS gone;
    ELSE
        SET LOCAL search_path TO DEFAULT;
        PERFORM set_config(
            'search_path',
            concat_ws(', ', 'pg_catalog', nullif(current_setting('search_path'), ''), 'public', 'pg_temp'),
            true);
        WITH deleted AS (
            DELETE FROM public.object_state WHERE object_state.zoid = ANY (chosen) RETURNING object_state.zoid, object_state.tid
        )
        SELECT array_agg(deleted.zoid), array_agg(deleted.tid) INTO zoids, tids FROM deleted;
        PERFORM set_config('search_path', 'pg_catalog, pg_temp', true);
    END IF;
    v_gone := cardinality(zoids) = cardinality(chosen) AND NOT EXISTS (
        SELECT
        FROM pg_trigger
        JOIN pg_proc ON pg_proc.oid = tgfoid
        WHERE tgrelid IN ('public.object_state'::regclass, to_regclass('public.current_object'), to_regclass('public.blob_chunk'))
          AND NOT tgisinternal AND pronamespace <> 'relpack'::regnamespace
          AND (tgrelid IS DISTINCT FROM to_regclass('public.blob_chunk') OR tgname NOT LIKE 'blob\_chunk\_delete%'));
    IF v_gone IS NOT TRUE THEN
        PERFORM relpack.require_deleted('public.object_state', ARRAY(
            SELECT stored.zoid FROM public.object_state AS stored WHERE stored.zoid = ANY (chosen)));
    END IF;
    -- Most storages have the table, and keep their blobs in files: see relpack.sweep_fit().
    IF to_regclass('public.blob_chunk') IS NOT NULL THEN
        IF EXISTS (SELECT FROM public.blob_chunk) THEN
            PERFORM relpack.require_deleted('public.blob_chunk', ARRAY(
                SELECT chunk.zoid FROM public.blob_chunk AS chunk WHERE chunk.zoid = ANY (chosen)));
        END IF;
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.sweep_delete(bigint[]) IS
    'Step of relpack.sweep(): deletes these rows of object_state, and of blob_chunk with them; '
    'returns those that were there. Raises RP002 when a trigger of somebody else kept one, RP003 (stale) when one is '
    'there again, lock_not_available when one is locked: the caller rolls back.';
