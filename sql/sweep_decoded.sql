-- The rule of a sweep that decodes: all that it refers to, what was written in the
-- meantime, is reachable, or new. What is deleted by this transaction is neither. Any object
-- that is unreachable counts, not only those of the batch: what is attached
-- again may reach into it.
CREATE OR REPLACE FUNCTION relpack.sweep_decoded(refs bigint[], undecodable bigint)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM relpack.undecoded) THEN
        RAISE EXCEPTION 'no sweep of this transaction waits for decoded references' USING ERRCODE = 'RP002';
    END IF;
    IF (undecodable = 0) IS NOT TRUE OR EXISTS (
        SELECT
        FROM unnest(refs) AS ref (zoid)
        LEFT JOIN LATERAL (
            SELECT known.zoid, known.parent FROM relpack.object AS known WHERE known.zoid = ref.zoid OFFSET 0
        ) AS object ON true
        WHERE object.parent IS NULL
          AND (object.zoid IS NOT NULL
               OR NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = ref.zoid))) THEN
        RETURN false;
    END IF;
    DELETE FROM relpack.undecoded;
    RETURN true;
END;
$$;

COMMENT ON FUNCTION relpack.sweep_decoded(bigint[], bigint) IS
    'Second half of relpack.sweep() with decoder: told what the states of relpack.fresh_state() refer to, and how '
    'many of them can''t be decoded, lets the transaction commit (true), or finds that it must be rolled back (false).';
