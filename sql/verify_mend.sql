-- Makes the tree one again, whatever it has become: what does not hang on the
-- root by parents that refer to their children is detached, and relpack.reach()
-- decides about it. Comes after relpack.apply(), so that the references are
-- what is stored.
CREATE OR REPLACE FUNCTION relpack.verify_mend()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
AS $$
DECLARE
    v_now bigint;
    v_detached bigint;
BEGIN
    PERFORM relpack.require_pack_lock();
    IF EXISTS (SELECT FROM relpack.suspect WHERE stage NOT IN ('climb', 'flow'))
       OR EXISTS (SELECT FROM relpack.pending) THEN
        RAISE EXCEPTION 'only a graph that is up to date can be mended' USING ERRCODE = 'RP002', HINT = 'Run "relpack pack".';
    END IF;
    IF EXISTS (
        SELECT
        FROM relpack.missing
        WHERE NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = missing.zoid)) THEN
        RAISE EXCEPTION 'the graph is lost: nobody can tell from the storage what hung on missing objects'
            USING ERRCODE = 'RP002', HINT = 'Run "relpack pack": it builds the graph again, or names these objects.';
    END IF;
    -- Nobody knows when that was cut off: its grace begins now.
    UPDATE relpack.storage
    SET noticed_tid = greatest(noticed_tid, relpack.time_to_tid(clock_timestamp()))
    RETURNING detach_tid INTO STRICT v_now;
    DELETE FROM relpack.object_inref
    WHERE NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = object_inref.inref);
    PERFORM relpack.count_dangling();
    DELETE FROM relpack.suspect
    WHERE NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = suspect.zoid);
    DELETE FROM relpack.doomed
    WHERE NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = doomed.zoid);
    DELETE FROM relpack.problem
    WHERE NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = problem.zoid);
    DELETE FROM relpack.foreign_reference
    WHERE NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = foreign_reference.inref);

    UPDATE relpack.object
    SET parent = 0
    WHERE zoid = 0 AND parent IS DISTINCT FROM 0;
    UPDATE relpack.object
    SET detached_tid = NULL
    WHERE parent IS NOT NULL AND detached_tid IS NOT NULL;
    WITH detached AS (
        UPDATE relpack.object
        SET parent = NULL, detached_tid = v_now
        WHERE parent IS NOT NULL
          AND NOT EXISTS (SELECT FROM relpack.verify_tree() AS tree (zoid) WHERE tree.zoid = object.zoid)
        RETURNING zoid
    )
    INSERT INTO relpack.suspect (zoid, stage)
    SELECT zoid, 'climb' FROM detached
    ON CONFLICT (zoid) DO UPDATE SET stage = excluded.stage;
    GET DIAGNOSTICS v_detached = ROW_COUNT;
    INSERT INTO relpack.suspect (zoid, stage)
    SELECT child.zoid, 'climb'
    FROM relpack.object AS child
    WHERE child.parent IS NULL
      AND EXISTS (SELECT
                  FROM relpack.object_inref AS edge
                  JOIN relpack.object AS referrer ON referrer.zoid = edge.inref
                  WHERE edge.zoid = child.zoid AND referrer.parent IS NOT NULL)
    ON CONFLICT DO NOTHING;

    UPDATE relpack.storage
    SET objects = (SELECT count(*) FROM relpack.object),
        inrefs = (SELECT count(*) FROM relpack.object_inref),
        doomed_tid = 0;
    RETURN v_detached;
END;
$$;

COMMENT ON FUNCTION relpack.verify_mend() IS
    'Step of "relpack verify --repair": detaches what does not hang on the root, for relpack.reach() to decide, '
    'forgets what names no node, and counts again; returns how many it detached.';
