-- As if its deletion had been reported just now, so that the grace of what hung
-- on it begins now. A node whose row no pack has looked for yet is as good as one
-- that is missing: where references are lost, no pack can look any more.
CREATE OR REPLACE FUNCTION relpack.accept_missing(zoid bigint)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_pack_lock();
    PERFORM relpack.lock_storage();
    INSERT INTO relpack.missing (zoid)
    SELECT object.zoid
    FROM relpack.object
    WHERE object.zoid = accept_missing.zoid
      AND NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = object.zoid)
    ON CONFLICT DO NOTHING;
    UPDATE relpack.missing SET accepted = true WHERE missing.zoid = accept_missing.zoid;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'zoid % is not missing', accept_missing.zoid
            USING ERRCODE = 'RP002', HINT = 'To list missing objects: SELECT * FROM relpack.missing_object;';
    END IF;
    INSERT INTO relpack.write_event (kind, zoid) VALUES ('deleted', accept_missing.zoid);
END;
$$;

COMMENT ON FUNCTION relpack.accept_missing(bigint) IS
    'Gives a missing object up: the next pack drops its node, and what only it referred to is garbage then, deleted '
    'after the grace. "relpack pack --accept-missing ZOID" does both.';
