-- What all suspects hang on is lost: no climb saved it. Of the objects below,
-- those that something else refers to that has a parent, and what these refer
-- to, are alive; the others are detached. Most of what is cut is one or the
-- other, and is written once. Arrays are looked up in as in
-- relpack.reach_flow_deep().
CREATE OR REPLACE FUNCTION relpack.reach_split(cut_off bigint[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_held bigint[];
    v_holders bigint[];
    v_saved bigint[];
BEGIN
    SELECT coalesce(array_agg(below.zoid), '{}'), coalesce(array_agg(holder.inref), '{}')
    INTO v_held, v_holders
    FROM unnest(cut_off) AS below (zoid)
    CROSS JOIN LATERAL (
        SELECT other.inref
        FROM (
            SELECT object_inref.inref
            FROM relpack.object_inref
            WHERE object_inref.zoid = below.zoid AND object_inref.inref NOT IN (SELECT unnest(cut_off))
            OFFSET 0
        ) AS other
        CROSS JOIN LATERAL (
            SELECT FROM relpack.object WHERE zoid = other.inref AND parent IS NOT NULL OFFSET 0
        ) AS live
        LIMIT 1
    ) AS holder;
    UPDATE relpack.object
    SET parent = held.inref, detached_tid = NULL
    FROM unnest(v_held, v_holders) AS held (zoid, inref)
    WHERE object.zoid = held.zoid;
    DELETE FROM relpack.suspect WHERE stage = 'cut';
    v_saved := relpack.reach_flow_deep(v_held, cut_off);
    UPDATE relpack.object
    SET parent = NULL, detached_tid = (SELECT detach_tid FROM relpack.storage)
    WHERE zoid = ANY (cut_off) AND zoid NOT IN (SELECT unnest(v_saved)) AND parent IS NOT NULL;
END;
$$;

COMMENT ON FUNCTION relpack.reach_split(bigint[]) IS
    'Step of relpack.reach(): of all objects that hang on suspects in stage cut, these among them, attaches those '
    'that are alive otherwise and detaches the others.';
