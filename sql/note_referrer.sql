-- What another storage refers to here, as it was found there. Another name of
-- the same database replaces the one before.
CREATE OR REPLACE FUNCTION relpack.note_referrer(holder text, origin text, refs bigint, unreadable bigint)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_pack_lock();
    DELETE FROM relpack.referred_by AS known
    WHERE (known.origin = note_referrer.origin AND known.holder <> note_referrer.holder)
       OR (known.origin = '' AND known.holder = note_referrer.holder);
    INSERT INTO relpack.referred_by (refs, unreadable, looked, origin, holder)
    VALUES (note_referrer.refs, note_referrer.unreadable, clock_timestamp(), note_referrer.origin, note_referrer.holder)
    ON CONFLICT ON CONSTRAINT referred_by_pkey DO UPDATE
    SET refs = excluded.refs, unreadable = excluded.unreadable, looked = excluded.looked;
END;
$$;

COMMENT ON FUNCTION relpack.note_referrer(text, text, bigint, bigint) IS
    'Records into relpack.referred_by how many objects of another storage (holder; relpack.origin() there) refer to objects of this one, and how many can''t be decoded and may.';
