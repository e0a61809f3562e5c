-- A graph that is built anew knows nothing of what hung on rows that vanished:
-- it would be garbage. Those whose deletion was reported, and which no pack has
-- looked at yet, are no better. Of a storage that was emptied and filled again
-- nothing of the kind is known.
CREATE OR REPLACE FUNCTION relpack.require_no_holes()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
DECLARE
    v_missing text;
BEGIN
    PERFORM relpack.lock_storage();
    -- While a graph is built, there are no indexes to look anything up by.
    IF NOT EXISTS (SELECT FROM relpack.storage WHERE graph IN ('known', 'doubtful')) THEN
        RETURN;
    END IF;
    SELECT string_agg(format('zoid %s (from %s)', few.zoid, array_to_string(few.inrefs, ', ')), '; ')
    INTO v_missing
    FROM (
        SELECT missing_object.zoid, missing_object.inrefs
        FROM relpack.missing_object
        WHERE NOT missing_object.accepted
          AND NOT EXISTS (SELECT FROM public.object_state AS stored WHERE stored.zoid = missing_object.zoid OFFSET 0)
        ORDER BY missing_object.zoid
        LIMIT 10
    ) AS few;
    IF v_missing IS NOT NULL THEN
        RAISE EXCEPTION 'objects are missing that live ones refer to: %', v_missing
            USING ERRCODE = 'RP002',
                  HINT = 'Restore their rows, or give them up with --accept-missing ZOID each: a graph that is built anew lets go of what hangs on them.';
    END IF;
    -- Nor of a graph that is not believed: no pack could look.
    IF relpack.doubt() IS NOT NULL OR EXISTS (SELECT FROM relpack.write_event WHERE kind = 'truncated') THEN
        RETURN;
    END IF;
    IF EXISTS (
        SELECT
        FROM (SELECT zoid FROM relpack.write_event WHERE kind = 'deleted'
              UNION ALL
              SELECT zoid FROM relpack.pending) AS waiting
        CROSS JOIN LATERAL (
            SELECT FROM relpack.object WHERE object.zoid = waiting.zoid AND object.parent IS NOT NULL OFFSET 0
        ) AS live
        WHERE NOT EXISTS (SELECT FROM relpack.missing WHERE missing.zoid = waiting.zoid OFFSET 0)
          AND NOT EXISTS (SELECT FROM public.object_state AS stored WHERE stored.zoid = waiting.zoid OFFSET 0)) THEN
        RAISE EXCEPTION 'rows were deleted that live objects may refer to, and no pack has looked at that yet'
            USING ERRCODE = 'RP002', HINT = 'Run "relpack pack --dry-run" first.';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_no_holes() IS
    'Raises RP002 while objects are missing that live ones refer to, unless they were given up: before the graph is forgotten.';
