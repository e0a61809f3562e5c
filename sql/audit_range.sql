-- What has gone without an audit for the longest time comes first. By zoid, so
-- that neither VACUUM FULL nor new objects move anything from one range to
-- another. As many nodes as stored objects at most: whichever are lost.
CREATE OR REPLACE FUNCTION relpack.audit_range(
    objects integer, began timestamptz,
    OUT first_zoid bigint, OUT last_zoid bigint)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    v_since timestamptz;
    v_first bigint;
BEGIN
    SELECT CASE WHEN audited.since > began THEN '-infinity' ELSE audited.since END, audited.first_zoid
    INTO v_since, v_first
    FROM relpack.audited
    ORDER BY 1, 2
    LIMIT 1;
    IF v_since >= began THEN
        RETURN;
    END IF;
    first_zoid := coalesce(v_first, -9223372036854775807);
    last_zoid := coalesce(
        least((SELECT object.zoid FROM relpack.object
               WHERE object.zoid >= first_zoid ORDER BY object.zoid OFFSET objects - 1 LIMIT 1),
              (SELECT stored.zoid FROM relpack.stored()
               WHERE stored.zoid >= first_zoid ORDER BY stored.zoid OFFSET objects - 1 LIMIT 1),
              (SELECT min(audited.first_zoid) - 1 FROM relpack.audited
               WHERE audited.first_zoid > audit_range.first_zoid AND audited.since = began)),
        9223372036854775807);
END;
$$;

COMMENT ON FUNCTION relpack.audit_range(integer, timestamptz) IS
    'Step of "relpack pack": the next range of zoids, of so many objects at most, for an audit that began then; '
    'NULL when it has been through all of them.';
