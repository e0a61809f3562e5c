CREATE OR REPLACE FUNCTION relpack.referents(
    referrer bigint, OUT zoid bigint, OUT class text, OUT size integer, OUT reachable boolean, OUT missing boolean)
RETURNS SETOF record
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT object_inref.zoid, class.label, object.size, object.parent IS NOT NULL,
           EXISTS (SELECT FROM relpack.missing WHERE missing.zoid = object_inref.zoid)
    FROM relpack.object_inref
    LEFT JOIN relpack.object ON object.zoid = object_inref.zoid
    LEFT JOIN relpack.class ON class.id = object.class
    WHERE object_inref.inref = referents.referrer
    ORDER BY object_inref.zoid;
$$;

COMMENT ON FUNCTION relpack.referents(bigint) IS
    'The objects that this one refers to, as of the last pack, with class, size in bytes, and whether they can be '
    'reached from the root. class is NULL for one that is not stored (a dangling reference); '
    'missing: its row vanished since relpack read it.';
