-- Asked where a trim found nothing: a capture more would list nothing, and what it cost
-- would be for a sweep that has nothing to take.
CREATE OR REPLACE FUNCTION relpack.all_reachable()
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM relpack.storage WHERE graph = 'current' AND NOT reread AND NOT resettle)
           AND NOT EXISTS (SELECT FROM relpack.detached)
           AND NOT EXISTS (SELECT FROM relpack.suspect)
           AND NOT EXISTS (SELECT FROM relpack.pending)
           AND NOT EXISTS (SELECT FROM relpack.write_event);
END;
$$;

COMMENT ON FUNCTION relpack.all_reachable() IS
    'Whether the graph knows of nothing unreachable, and nothing is left to be read or was reported: a sweep would find '
    'nothing to delete.';
