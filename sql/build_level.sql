-- What relpack.build_mark() has noted of an object, where it says how: a byte for
-- each place. A body parsed on creation that is one expression is put in the place
-- of the call, and costs what it did there.
CREATE OR REPLACE FUNCTION relpack.build_level(zoid bigint, depths bytea, sparse boolean, zoids bigint[], places bigint)
RETURNS integer
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN get_byte(depths, CASE
    WHEN sparse THEN
        CASE WHEN zoids[width_bucket(zoid, zoids)] = zoid THEN (width_bucket(zoid, zoids) - 1) # 7 END
    WHEN zoid BETWEEN 0 AND places - 1 THEN (zoid # 7)::integer
    END);

COMMENT ON FUNCTION relpack.build_level(bigint, bytea, boolean, bigint[], bigint) IS
    'Step of relpack.build_mark(), and of what chooses parents by it: on which level an object is, 1 the root, 0: not reached. '
    'NULL: it has no byte.';
