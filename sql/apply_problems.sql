CREATE OR REPLACE FUNCTION relpack.apply_problems()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM relpack.problem) THEN
        DELETE FROM relpack.problem
        USING relpack.examined_object AS examined
        WHERE problem.zoid = examined.zoid;
    END IF;
    INSERT INTO relpack.problem (zoid, blocks, kind, detail)
    SELECT zoid, kind = 'opaque', kind, detail FROM relpack.examined_problem;
END;
$$;

COMMENT ON FUNCTION relpack.apply_problems() IS
    'Step of relpack.apply(): what was examined has the problems that it has now, and no others.';
