-- Pieces of one audit that meet become one row: there are as many rows as packs
-- in the time that all objects take.
CREATE OR REPLACE FUNCTION relpack.audit_done(first_zoid bigint, last_zoid bigint, began timestamptz, objects bigint)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_share interval;
BEGIN
    PERFORM relpack.require_pack_lock();
    IF NOT EXISTS (SELECT FROM relpack.audited) THEN
        INSERT INTO relpack.audited (first_zoid, last_zoid, since)
        VALUES (-9223372036854775807, 9223372036854775807, '-infinity');
    END IF;
    WITH overlapped AS (
        DELETE FROM relpack.audited
        WHERE first_zoid <= audit_done.last_zoid AND last_zoid >= audit_done.first_zoid
        RETURNING first_zoid, last_zoid, since
    ), remains AS (
        SELECT first_zoid, audit_done.first_zoid - 1, since
        FROM overlapped
        WHERE first_zoid < audit_done.first_zoid
        UNION ALL
        SELECT least(audit_done.last_zoid, 9223372036854775806) + 1, last_zoid, since
        FROM overlapped
        WHERE last_zoid > audit_done.last_zoid
    )
    INSERT INTO relpack.audited (first_zoid, last_zoid, since)
    SELECT * FROM remains;
    UPDATE relpack.audited
    SET last_zoid = audit_done.last_zoid
    WHERE last_zoid = audit_done.first_zoid - 1 AND since = began;
    IF NOT FOUND THEN
        INSERT INTO relpack.audited (first_zoid, last_zoid, since)
        VALUES (audit_done.first_zoid, audit_done.last_zoid, began);
    END IF;

    INSERT INTO relpack.audit DEFAULT VALUES ON CONFLICT DO NOTHING;
    IF NOT EXISTS (SELECT FROM relpack.audited WHERE since <> began) THEN
        UPDATE relpack.audit SET met = began;
        RETURN;
    END IF;
    SELECT interval '27 days' * (audit_done.objects::float8 / greatest(storage.objects, 1)) INTO v_share FROM relpack.storage;
    UPDATE relpack.audit
    SET met = least(began,
                    greatest(CASE WHEN met > began THEN '-infinity' ELSE met END, began - interval '27 days') + v_share);
END;
$$;

COMMENT ON FUNCTION relpack.audit_done(bigint, bigint, timestamptz, bigint) IS
    'Step of "relpack pack": so many objects of a range of zoids were read again and found to be what the graph records.';
