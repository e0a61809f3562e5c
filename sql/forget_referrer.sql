-- The grace of what that storage referred to begins now: relpack.note_unreferred().
-- Databases of several servers may have one name.
CREATE OR REPLACE FUNCTION relpack.forget_referrer(holder text, origin text DEFAULT NULL)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_pack_lock();
    DELETE FROM relpack.referred_by AS known
    WHERE known.holder = forget_referrer.holder
      AND (forget_referrer.origin IS NULL OR known.origin = forget_referrer.origin);
    RETURN FOUND;
END;
$$;

COMMENT ON FUNCTION relpack.forget_referrer(text, text) IS
    'Strikes a storage that is gone for good off relpack.referred_by, by its name in the configuration file; '
    'with origin only the database of that name that relpack.origin() tells there. False: none was recorded.';
