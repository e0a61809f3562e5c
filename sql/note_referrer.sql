-- What another storage refers to here, as it was found there. Another name of
-- the same database replaces the one before. Clocks of two servers are not
-- compared: how long ago that was is all that counts.
CREATE OR REPLACE FUNCTION relpack.note_referrer(holder text, origin text, refs bigint, unreadable bigint, ago interval)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_pack_lock();
    IF NOT EXISTS (
        SELECT
        FROM relpack.referred_by AS known
        WHERE known.origin = note_referrer.origin AND known.holder = note_referrer.holder) THEN
        UPDATE relpack.referred_by AS known
        SET origin = note_referrer.origin, holder = note_referrer.holder
        WHERE (known.origin, known.holder) = (
            SELECT other.origin, other.holder
            FROM relpack.referred_by AS other
            WHERE other.origin = note_referrer.origin
               OR (other.origin = '' AND other.holder = note_referrer.holder)
            ORDER BY other.origin, other.holder
            LIMIT 1);
    END IF;
    DELETE FROM relpack.referred_by AS known
    WHERE (known.origin = note_referrer.origin AND known.holder <> note_referrer.holder)
       OR (known.origin = '' AND known.holder = note_referrer.holder);
    INSERT INTO relpack.referred_by (refs, unreadable, looked, origin, holder)
    VALUES (note_referrer.refs, note_referrer.unreadable, clock_timestamp() - note_referrer.ago, note_referrer.origin, note_referrer.holder)
    ON CONFLICT ON CONSTRAINT referred_by_pkey DO UPDATE
    SET refs = excluded.refs, unreadable = excluded.unreadable, looked = excluded.looked;
END;
$$;

COMMENT ON FUNCTION relpack.note_referrer(text, text, bigint, bigint, interval) IS
    'Records into relpack.referred_by how another storage refers to this one. '
    'So many of the objects of holder (relpack.origin() there) refer to objects of this one, and so many can''t be '
    'decoded and may. '
    'ago: since when other references may have been stored there, the oldest open transaction included.';
