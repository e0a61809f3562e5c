-- Whoever asks what is alive, from psql or by "relpack why", asks this first: in
-- the same snapshot.
CREATE OR REPLACE FUNCTION relpack.being_changed()
RETURNS text
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN storage.graph IS NULL OR storage.graph = 'none'
            THEN 'the graph is not built yet'
        WHEN storage.graph = 'reshaping'
            THEN 'the graph is being changed: new parents are being chosen for all objects'
        WHEN storage.graph NOT IN ('current', 'doubtful')
            THEN 'the graph is being changed: it is being built'
        WHEN storage.resettle OR EXISTS (SELECT FROM relpack.suspect)
            THEN 'the graph is being changed: the reachability of some objects is not settled yet'
        END
    FROM (SELECT) AS one
    LEFT JOIN relpack.storage ON true;
$$;

COMMENT ON FUNCTION relpack.being_changed() IS
    'Why nobody can tell at the moment which objects are reachable: the graph is not built, is being built, or a pack '
    'is at work on it or was interrupted. NULL: it is settled.';
