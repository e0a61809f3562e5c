CREATE OR REPLACE FUNCTION relpack.capture_salvaged(reported boolean)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- What is odd may have come to name an object that is stored now: one that is
    -- new, or that an event tells of, as it does when it was stored while the odd
    -- record was read; in a graph that is doubted such an event may be lost.
    IF EXISTS (SELECT FROM relpack.problem WHERE kind = 'salvaged')
       AND (reported OR EXISTS (
           SELECT
           FROM relpack.pending
           WHERE NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = pending.zoid OFFSET 0))) THEN
        INSERT INTO relpack.pending (zoid)
        SELECT zoid FROM relpack.problem WHERE kind = 'salvaged'
        ON CONFLICT DO NOTHING;
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.capture_salvaged(boolean) IS
    'Step of relpack.capture_list(): has odd records read again where they may refer to more than they did.';
