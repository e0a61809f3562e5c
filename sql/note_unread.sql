-- A storage that could not be read counts with what was recorded last. Where
-- nothing ever was, nobody knows what it refers to.
CREATE OR REPLACE FUNCTION relpack.note_unread(holders text[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_pack_lock();
    INSERT INTO relpack.referred_by (refs, unreadable, looked, origin, holder)
    SELECT DISTINCT 0, 0, NULL::timestamptz, '', other.holder
    FROM unnest(holders) AS other (holder)
    WHERE NOT EXISTS (SELECT FROM relpack.referred_by AS known WHERE known.holder = other.holder);
END;
$$;

COMMENT ON FUNCTION relpack.note_unread(text[]) IS
    'Records into relpack.referred_by those of these storages of which nothing is recorded yet: until they are read, '
    'relpack.sweep() refuses.';
