-- AFTER INSERT and AFTER UPDATE trigger of object_state. Commits have a tid
-- above the watermark and are found by it; only other writes make an event.
-- The lock was taken in an earlier statement (relpack.trigger_lock), so that
-- this one's snapshot shows the watermark as it is under the lock, unless the
-- transaction is not READ COMMITTED: then every row makes an event. On a table
-- of another shape, the casts and operators of its types would run with the
-- rights of relpack's owner: that is refused before a row is looked at. To set
-- search_path for every call took an eighth of what a commit pays for the
-- triggers: names and operators have their schemas instead.
CREATE OR REPLACE FUNCTION relpack.trigger_write()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE SECURITY DEFINER
AS $$
DECLARE
    v_watermark bigint;
    v_silent boolean;
BEGIN
    IF tg_table_schema OPERATOR(pg_catalog.<>) 'public' OR tg_table_name OPERATOR(pg_catalog.<>) 'object_state' THEN
        -- See relpack.trigger_delete.
        RETURN NULL;
    END IF;
    -- Restored from a dump without relpack's tables: the site goes on.
    IF pg_catalog.to_regclass('relpack.storage') IS NULL THEN
        RETURN NULL;
    END IF;
    -- The INSERT alone would do, but is begun in vain for nearly every commit.
    IF pg_catalog.current_setting('transaction_isolation') OPERATOR(pg_catalog.=) 'read committed' THEN
        SELECT storage.watermark,
               storage.graph OPERATOR(pg_catalog.=) 'none'
               OR NOT EXISTS (
                   SELECT
                   FROM written
                   WHERE CASE WHEN pg_catalog.pg_typeof(written.tid) OPERATOR(pg_catalog.=) 'bigint'::pg_catalog.regtype
                              THEN written.tid OPERATOR(pg_catalog.>) storage.watermark
                         END IS NOT TRUE)
        INTO v_watermark, v_silent
        FROM relpack.storage;
        IF v_silent THEN
            RETURN NULL;
        END IF;
    END IF;
    IF (SELECT pg_catalog.pg_typeof(written.tid) OPERATOR(pg_catalog.<>) 'bigint'::pg_catalog.regtype
               OR pg_catalog.pg_typeof(written.zoid) OPERATOR(pg_catalog.<>) 'bigint'::pg_catalog.regtype
        FROM written
        LIMIT 1) THEN
        RAISE EXCEPTION 'object_state does not have the columns of RelStorage' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO relpack.write_event (kind, zoid, tid)
    SELECT 'written', written.zoid, written.tid
    FROM written
    WHERE (written.tid OPERATOR(pg_catalog.>) v_watermark) IS NOT TRUE;
    RETURN NULL;
END;
$$;

COMMENT ON FUNCTION relpack.trigger_write() IS
    'Trigger function: reports rows whose tid is not above the watermark (restored rows, zodbconvert), and all rows '
    'of transactions that are not READ COMMITTED. An ordinary commit reports nothing.';
