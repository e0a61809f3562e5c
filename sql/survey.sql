-- By the index on what is detached, as in relpack.doom(), whatever the statistics
-- say: they may be older than the last deletion.
CREATE OR REPLACE FUNCTION relpack.survey(
    OUT objects bigint, OUT inrefs bigint, OUT unreachable bigint, OUT unreachable_bytes bigint, OUT ahead text)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
BEGIN
    SELECT storage.objects - (SELECT count(*) FROM relpack.missing), storage.inrefs
    INTO objects, inrefs
    FROM relpack.storage;
    SELECT count(*), coalesce(sum(detached.size), 0)
    INTO unreachable, unreachable_bytes
    FROM relpack.detached;
    ahead := relpack.tids_ahead();
END;
$$;

COMMENT ON FUNCTION relpack.survey() IS
    'Step of "relpack pack": how many objects and references there are, how many of the objects are unreachable and '
    'their bytes, and whether tids are ahead of the clock (relpack.tids_ahead).';
