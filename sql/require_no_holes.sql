-- A graph that is built again knows nothing of what hung on rows that vanished:
-- it would be garbage. What was found missing stays known when the graph itself
-- is lost. Rows that no pack has looked for yet are no better, whether or not
-- anything told of their deletion: every node is looked up, which takes little
-- beside a build. While one is being built, there are no indexes to look by.
CREATE OR REPLACE FUNCTION relpack.require_no_holes()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
AS $$
DECLARE
    v_built boolean := EXISTS (SELECT FROM relpack.storage WHERE graph IN ('current', 'doubtful', 'reshaping'));
    v_missing text;
    v_unseen bigint[];
BEGIN
    PERFORM relpack.lock_storage();
    SELECT string_agg(format('zoid %s%s', few.zoid, CASE WHEN v_built THEN (
               SELECT format(' (from %s)', array_to_string(missing_object.inrefs, ', '))
               FROM relpack.missing_object
               WHERE missing_object.zoid = few.zoid) END), '; ' ORDER BY few.zoid)
    INTO v_missing
    FROM (
        SELECT missing.zoid
        FROM relpack.missing
        WHERE NOT missing.accepted
          AND NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = missing.zoid)
        ORDER BY missing.zoid
        LIMIT 10
    ) AS few;
    IF v_missing IS NOT NULL THEN
        RAISE EXCEPTION 'objects are missing to which others refer: %', v_missing
            USING ERRCODE = 'RP002',
                  HINT = 'Restore their rows, or give up each with --accept-missing ZOID: '
                         'a graph that is built again does not know what hangs on them.';
    END IF;
    IF NOT v_built THEN
        RETURN;
    END IF;
    -- While the walk is not over, what is detached may be alive.
    v_unseen := ARRAY(
        SELECT object.zoid
        FROM relpack.object
        WHERE (object.parent IS NOT NULL
               OR EXISTS (SELECT FROM relpack.suspect)
               OR EXISTS (SELECT FROM relpack.storage WHERE graph = 'reshaping'))
          AND NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = object.zoid)
          AND NOT EXISTS (SELECT FROM relpack.missing WHERE missing.zoid = object.zoid)
        LIMIT 10);
    IF v_unseen <> '{}' THEN
        RAISE EXCEPTION 'rows are gone to which live objects may refer, and no pack has noted that yet: zoid %',
                        array_to_string(v_unseen, ', ')
            USING ERRCODE = 'RP002',
                  HINT = CASE
                      -- No other run would come as far as to list it.
                      WHEN relpack.graph_lost() IS NOT NULL
                          THEN 'Restore their rows, or give up each with --accept-missing ZOID: '
                               'a graph that is built again does not know what hangs on them.'
                      WHEN relpack.doubt() IS NOT NULL
                           OR EXISTS (SELECT FROM relpack.write_event)
                           OR EXISTS (SELECT FROM relpack.pending)
                          THEN 'Run "relpack pack --dry-run" first: it lists what is missing.'
                      ELSE 'Run "relpack verify --repair" first: it lists what is missing.'
                  END;
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_no_holes() IS
    'Raises RP002 while objects are missing, unless they were given up, or nodes of live objects have no row: before '
    'the graph is forgotten.';
