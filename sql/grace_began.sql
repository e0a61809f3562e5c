CREATE OR REPLACE FUNCTION relpack.grace_began(pack_time timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT unreferred
        FROM relpack.storage
        WHERE isfinite(unreferred)
          AND unreferred >= least(relpack.capped_pack_time(pack_time), (SELECT min(looked) FROM relpack.referred_by)));
END;
$$;

COMMENT ON FUNCTION relpack.grace_began(timestamptz) IS
    'When another storage ceased to refer to this one, if nothing can be deleted with this pack time because of that '
    '(relpack.grace_cap); else NULL.';
