CREATE OR REPLACE FUNCTION relpack.referrers(
    referent bigint, OUT zoid bigint, OUT class text, OUT size integer, OUT reachable boolean, OUT missing boolean)
RETURNS SETOF record
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT object_inref.inref, class.label, object.size, object.parent IS NOT NULL,
           EXISTS (SELECT FROM relpack.missing WHERE missing.zoid = object_inref.inref)
    FROM relpack.object_inref
    LEFT JOIN relpack.object ON object.zoid = object_inref.inref
    LEFT JOIN relpack.class ON class.id = object.class
    WHERE object_inref.zoid = referrers.referent
    ORDER BY object_inref.inref;
$$;

COMMENT ON FUNCTION relpack.referrers(bigint) IS
    'The objects that refer to this one, as of the last pack, with class, size in bytes, and whether they can be '
    'reached from the root. missing: the row of that one vanished.';
