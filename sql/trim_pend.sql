-- Nobody reports that an object was set back: now all of its revisions count. Nor that it
-- is no more: the next trim looks at it again. Without a graph, nothing has been read of it.
CREATE OR REPLACE FUNCTION relpack.trim_pend(left_alone bigint[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF coalesce(cardinality(left_alone), 0) = 0 THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM relpack.storage WHERE graph <> 'none') THEN
        INSERT INTO relpack.to_trim (zoid, alone)
        SELECT alone.zoid, true FROM unnest(left_alone) AS alone (zoid) ORDER BY alone.zoid
        ON CONFLICT (zoid) DO UPDATE SET alone = true WHERE NOT to_trim.alone;
        INSERT INTO relpack.pending (zoid)
        SELECT alone.zoid FROM unnest(left_alone) AS alone (zoid) ORDER BY alone.zoid
        ON CONFLICT DO NOTHING;
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.trim_pend(bigint[]) IS
    'Step of a trim: has the objects read again for the graph that it leaves as they are (relpack.trim_leaves()), and has '
    'the next trim look at them.';
