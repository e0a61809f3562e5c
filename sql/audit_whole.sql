CREATE OR REPLACE FUNCTION relpack.audit_whole(began timestamptz)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_pack_lock();
    DELETE FROM relpack.audited;
    INSERT INTO relpack.audited (first_zoid, last_zoid, since)
    VALUES (-9223372036854775807, 9223372036854775807, began);
    INSERT INTO relpack.audit DEFAULT VALUES ON CONFLICT DO NOTHING;
    UPDATE relpack.audit SET met = began, difference = NULL;
END;
$$;

COMMENT ON FUNCTION relpack.audit_whole(timestamptz) IS
    'Step of a first build, of "relpack verify" and of "relpack pack": every object has been read again since then, '
    'and the graph made from it or mended.';
