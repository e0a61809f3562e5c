-- A row that moved while the scan went on (VACUUM FULL, a restored row, an
-- UPDATE with our triggers off) may have been read twice. Both readings go, and
-- the object is read again. Of a history-preserving storage each build looks.
CREATE OR REPLACE FUNCTION relpack.build_drop_doubles()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
AS $$
DECLARE
    v_twice bigint;
BEGIN
    IF NOT (SELECT scan_disturbed OR keeps_history FROM relpack.storage)
       AND NOT EXISTS (SELECT FROM relpack.write_event)
       AND relpack.doubt() IS NULL THEN
        RETURN 0;
    END IF;
    INSERT INTO relpack.pending (zoid)
    SELECT zoid
    FROM relpack.staged_object
    GROUP BY zoid
    HAVING count(*) > 1
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS v_twice = ROW_COUNT;
    IF v_twice > 0 THEN
        DELETE FROM relpack.staged_object USING relpack.pending WHERE staged_object.zoid = pending.zoid;
        DELETE FROM relpack.object_inref USING relpack.pending WHERE object_inref.inref = pending.zoid;
        UPDATE relpack.storage
        SET objects = (SELECT count(*) FROM relpack.staged_object),
            inrefs = (SELECT count(*) FROM relpack.object_inref);
    END IF;
    RETURN v_twice;
END;
$$;

COMMENT ON FUNCTION relpack.build_drop_doubles() IS
    'Step of relpack.build_step(): drops objects that a disturbed scan read twice and puts them into relpack.pending; returns how many.';
