CREATE OR REPLACE FUNCTION relpack.capture_changes(applied bigint, compare boolean)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A missing row may be back without anybody having reported it.
    INSERT INTO relpack.pending (zoid)
    SELECT missing.zoid
    FROM relpack.missing
    WHERE EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = missing.zoid)
    ON CONFLICT DO NOTHING;

    IF compare THEN
        PERFORM relpack.capture_recount();
        PERFORM relpack.capture_compare();
    ELSIF EXISTS (SELECT FROM relpack.pending) THEN
        -- Of what an abandoned run had listed, a part may be applied.
        INSERT INTO relpack.pending (zoid)
        SELECT stored.zoid
        FROM relpack.stored()
        WHERE stored.tid > applied
          AND NOT EXISTS (
              SELECT
              FROM relpack.object
              WHERE object.zoid = stored.zoid AND object.tid = stored.tid)
        ON CONFLICT DO NOTHING;
    ELSIF relpack.keeps_history() THEN
        INSERT INTO relpack.pending (zoid)
        SELECT DISTINCT stored.zoid
        FROM relpack.stored()
        WHERE stored.tid > applied
        ON CONFLICT DO NOTHING;
    ELSE
        -- Nothing is in the way, and in order it goes into the index fastest.
        INSERT INTO relpack.pending (zoid)
        SELECT zoid
        FROM relpack.stored()
        WHERE tid > applied
        ORDER BY zoid;
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.capture_changes(bigint, boolean) IS
    'Step of relpack.capture_list(): puts what was written since the transaction applied into relpack.pending, or all '
    'that differs from the graph (compare).';
