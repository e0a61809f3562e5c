-- Sizes at which one way of doing something gives way to another, in one place
-- so that a test can draw them small and send a handful of objects down every
-- path. A walk must be longer than a narrow frontier, or it could end where it
-- began. STABLE, not IMMUTABLE: plans must not keep what a test replaces.
CREATE OR REPLACE FUNCTION relpack.limits(
    OUT narrow bigint, OUT walk bigint, OUT loose bigint,
    OUT climb_inrefs bigint, OUT climb_referrers bigint, OUT climb_depth integer, OUT climb_rounds integer,
    OUT grow_zoids bigint, OUT grow_levels bigint, OUT grow_wide bigint)
LANGUAGE sql
STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 1000, 100000, 50000,
           64, 4, 200, 16,
           67108864, 255, 32;
$$;

COMMENT ON FUNCTION relpack.limits() IS
    'narrow: up to so many objects go many levels in one recursive query, more go level by level; walk: where such a query stops; loose: objects looked at together by relpack.loosen(); climb_...: how many referrers relpack.climb() looks at, how many of those it climbs, how far, and in how many rounds; grow_zoids: for how many objects relpack.grow() has a byte each; grow_levels: what such a byte says at most; grow_wide: a level of more objects than the references divided by this reads all of them.';
