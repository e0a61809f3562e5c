-- Of each object only one row of current_object is looked up: all but a few name the
-- revision that was read. Called with the settings of relpack.apply().
CREATE OR REPLACE FUNCTION relpack.apply_set_back()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT relpack.keeps_history() THEN
        RETURN;
    END IF;
    INSERT INTO relpack.to_trim (zoid, alone)
    SELECT leaves.zoid, true
    FROM relpack.trim_leaves(ARRAY(
        SELECT examined.zoid
        FROM relpack.examined_object AS examined
        WHERE examined.tid IS NOT NULL
          AND NOT EXISTS (
              SELECT
              FROM public.current_object
              WHERE current_object.zoid = examined.zoid AND (current_object.tid = examined.tid) IS TRUE
              OFFSET 0))) AS leaves (zoid)
    ON CONFLICT (zoid) DO UPDATE SET alone = true WHERE NOT to_trim.alone;
END;
$$;

COMMENT ON FUNCTION relpack.apply_set_back() IS
    'Step of relpack.apply(): notes in relpack.to_trim which of the objects that were read have another current revision '
    'than their newest.';
