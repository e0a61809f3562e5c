-- The settings are those of relpack.reach_step(), for its reasons.
CREATE OR REPLACE FUNCTION relpack.spare_referred()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_material = off
SET max_parallel_workers_per_gather = 0
AS $$
BEGIN
    LOOP
        EXIT WHEN NOT EXISTS (SELECT FROM relpack.spared WHERE stage = 'new');
        PERFORM relpack.doom_spare();
    END LOOP;
    IF EXISTS (SELECT FROM relpack.problem JOIN relpack.spared USING (zoid) WHERE problem.blocks) THEN
        RAISE EXCEPTION 'an unreachable object that must stay can''t be decoded: what it refers to is unknown'
            USING ERRCODE = 'RP002',
                  DETAIL = (SELECT string_agg(format('zoid %s: %s', zoid, detail), '; ' ORDER BY zoid)
                            FROM (SELECT zoid, detail
                                  FROM relpack.problem JOIN relpack.spared USING (zoid)
                                  WHERE problem.blocks ORDER BY zoid LIMIT 10) AS few),
                  HINT = 'Once it is beyond the grace (--days), it is deleted together with the rest.';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.spare_referred() IS
    'Step of relpack.doom(): spares what unreachable objects in relpack.spared refer to. '
    'Raises RP002 where one of them can''t be decoded.';
