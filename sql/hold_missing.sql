-- A row that is not stored any more leaves its node as it was, with the
-- references that are recorded: whether anything live refers to it is known once
-- relpack.reach() has settled, and then relpack.forget_missing() decides. What is
-- taken off the list of what was examined, apply leaves alone. Nobody may
-- delete by an older choice what has vanished.
CREATE OR REPLACE FUNCTION relpack.hold_missing()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM relpack.missing) THEN
        DELETE FROM relpack.missing
        USING relpack.examined_object AS examined
        WHERE missing.zoid = examined.zoid AND examined.tid IS NOT NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM relpack.examined_object WHERE tid IS NULL) THEN
        RETURN;
    END IF;
    INSERT INTO relpack.missing (zoid)
    SELECT examined.zoid
    FROM relpack.examined_object AS examined
    CROSS JOIN LATERAL (
        SELECT FROM relpack.object WHERE zoid = examined.zoid OFFSET 0
    ) AS node
    WHERE examined.tid IS NULL
    ORDER BY examined.zoid
    ON CONFLICT DO NOTHING;
    DELETE FROM relpack.doomed
    USING relpack.examined_object AS examined
    WHERE doomed.zoid = examined.zoid AND examined.tid IS NULL;
    DELETE FROM relpack.examined_object AS examined
    USING relpack.missing
    WHERE missing.zoid = examined.zoid AND examined.tid IS NULL AND NOT missing.accepted;
    -- What was given up goes now.
    DELETE FROM relpack.missing
    USING relpack.examined_object AS examined
    WHERE missing.zoid = examined.zoid AND missing.accepted;
END;
$$;

COMMENT ON FUNCTION relpack.hold_missing() IS
    'Step of relpack.apply(): nodes of rows that vanished stay as they are and go to relpack.missing; '
    'those of rows that are back leave it.';
