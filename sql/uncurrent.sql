-- Of a history-preserving storage: a client loads the revision that current_object names.
-- Nothing reports what becomes of that table: a dump that was restored without it, or a
-- DELETE, leaves objects that nobody can load; so does a restore that sets one back to
-- before it was created. A chunk of nodes a call, by index. Most are looked at no further:
-- current_object names the revision that the graph knows as the newest.
CREATE OR REPLACE FUNCTION relpack.uncurrent(after bigint, nodes integer, OUT last bigint, OUT zoids bigint[])
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET max_parallel_workers_per_gather = 0
AS $$
BEGIN
    IF NOT relpack.keeps_history() THEN
        RETURN;
    END IF;
    SELECT max(few.zoid), array_agg(few.zoid ORDER BY few.zoid) FILTER (WHERE few.alive AND (named.tid = few.tid) IS NOT TRUE)
    INTO last, zoids
    FROM (
        SELECT object.zoid, object.tid, object.parent IS NOT NULL AS alive
        FROM relpack.object
        WHERE object.zoid > after
        ORDER BY object.zoid
        LIMIT nodes
    ) AS few
    LEFT JOIN public.current_object AS named ON named.zoid = few.zoid;
    IF zoids IS NOT NULL THEN
        zoids := ARRAY(SELECT relpack.uncurrent_of(zoids));
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.uncurrent(bigint, integer) IS
    'Looks at the next so many nodes after a zoid. last: the highest of them, NULL after the last node, or in a '
    'history-free storage. zoids: live objects among them that nobody can load (relpack.uncurrent_of()). NULL or empty: none.';
