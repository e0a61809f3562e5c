-- Sizes at which one way of doing something gives way to another, in one place
-- so that a test can draw them small and send a handful of objects down every
-- path. A walk must be longer than a narrow frontier, or it could end where it
-- began. STABLE, not IMMUTABLE: plans must not keep what a test replaces.
CREATE OR REPLACE FUNCTION relpack.walk_limits(
    OUT narrow bigint, OUT walk bigint, OUT together bigint,
    OUT climb_inrefs bigint, OUT climb_visits bigint, OUT reshape_share bigint, OUT reshape_least bigint,
    OUT grow_zoids bigint, OUT grow_levels bigint, OUT grow_wide bigint)
LANGUAGE sql
STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 1000, 100000, 50000,
           64, 1000000, 24, 10000,
           67108864, 255, 32;
$$;

COMMENT ON FUNCTION relpack.walk_limits() IS
    'Sizes at which one way of doing something gives way to another. '
    'narrow: up to so many objects go many levels in one recursive query, more go level by level; walk: where such a '
    'query stops; together: suspects looked at together. '
    'climb_inrefs: how many referrers of each are tried first; climb_visits: how many objects relpack.ways_up() looks '
    'at, or gives up. '
    'reshape_share, reshape_least: of what share of all objects, one in so many, the way up may be looked for and the '
    'parents be cut off together, and of how many in any case, before relpack.reshape() chooses all parents. '
    'grow_zoids: for how many objects relpack.build_mark() has a byte each; grow_levels: what such a byte says at '
    'most; grow_wide: a level of more objects than the references divided by this reads all of them.';
