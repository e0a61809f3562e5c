-- Called after relpack.doom() with the same pack time.
CREATE OR REPLACE FUNCTION relpack.held_by(pack_time timestamptz)
RETURNS text
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    v_until bigint;
    v_holder text;
BEGIN
    SELECT doomed_until
    INTO v_until
    FROM relpack.storage
    WHERE doomed_until < least(relpack.time_to_tid(pack_time), detach_tid);
    IF v_until IS NULL THEN
        RETURN NULL;
    END IF;
    v_holder := relpack.oldest_client();
    RETURN CASE
        WHEN v_holder IS NOT NULL AND EXISTS (
            SELECT
            FROM relpack.detached
            WHERE detached.since > v_until AND detached.since <= relpack.time_to_tid(pack_time)) THEN v_holder
        END;
END;
$$;

COMMENT ON FUNCTION relpack.held_by(timestamptz) IS
    'Names the client whose open transaction keeps unreachable objects that are older than this pack time; '
    'NULL: there are none, or no such client.';
