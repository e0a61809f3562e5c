-- Of a history-preserving storage: a client loads the revision that current_object names.
-- Nothing reports what becomes of that table: a dump that was restored without it, or a
-- DELETE, leaves objects that nobody can load. A chunk of nodes a call, by index.
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
    SELECT max(few.zoid), array_agg(few.zoid ORDER BY few.zoid) FILTER (WHERE few.alive AND named.zoid IS NULL)
    INTO last, zoids
    FROM (
        SELECT object.zoid, object.parent IS NOT NULL AS alive
        FROM relpack.object
        WHERE object.zoid > after
        ORDER BY object.zoid
        LIMIT nodes
    ) AS few
    LEFT JOIN public.current_object AS named ON named.zoid = few.zoid;
    IF zoids IS NOT NULL THEN
        zoids := ARRAY(
            SELECT bare.zoid
            FROM unnest(zoids) AS bare (zoid)
            WHERE EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = bare.zoid OFFSET 0)
            ORDER BY bare.zoid);
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.uncurrent(bigint, integer) IS
    'Looks at the next so many nodes after a zoid. last: the highest of them, NULL after the last node, or in a '
    'history-free storage. zoids: live objects among them of which revisions are stored, and none is named by '
    'current_object: whoever loads them gets a POSKeyError. NULL or empty: none.';
