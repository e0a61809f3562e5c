-- The planner can't know how many rows a frontier has or reaches, and a nested
-- loop over millions or a hash of the whole graph for a handful are both
-- ruinous. The caller's SET clause ends the setting with the function.
CREATE OR REPLACE FUNCTION relpack.choose_plan(frontier bigint)
RETURNS void
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT set_config('enable_nestloop', CASE WHEN frontier * 20 > objects THEN 'off' ELSE 'on' END, true),
           set_config('enable_hashjoin', CASE WHEN frontier * 20 > objects THEN 'on' ELSE 'off' END, true),
           set_config('enable_mergejoin', CASE WHEN frontier * 20 > objects THEN 'on' ELSE 'off' END, true)
    FROM relpack.storage;
$$;

COMMENT ON FUNCTION relpack.choose_plan(bigint) IS
    'Chooses index lookups for a frontier that is small beside the graph, else hash joins, for the rest of the calling function.';
