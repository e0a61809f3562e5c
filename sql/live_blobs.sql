-- Blobs to look for in a blob directory: only what is found there proves that
-- it is this storage's, mounted, and laid out as it was looked at. From pages
-- here and there, so that old ones that were lost with a disk don't make up all
-- of them. Only where blobs are rare all objects are looked through. Whether one is
-- stored is asked of each before they are counted: rows that vanished prove nothing.
CREATE OR REPLACE FUNCTION relpack.live_blobs(
    tries integer DEFAULT 100,
    OUT zoid bigint, OUT tid bigint)
RETURNS SETOF record
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $$
DECLARE
    v_history boolean := relpack.keeps_history();
    v_pages bigint := pg_relation_size('relpack.object') / current_setting('block_size')::bigint;
    v_zoids bigint[];
BEGIN
    -- First the lock, then the look: a snapshot that is older than a rewrite of
    -- the table sees nothing in it.
    LOCK TABLE public.object_state IN ACCESS SHARE MODE;
    IF v_pages > 1000 THEN
        v_zoids := ARRAY(
            SELECT object.zoid
            FROM relpack.object TABLESAMPLE SYSTEM (100000.0 / v_pages)
            WHERE object.class = 1 AND object.parent IS NOT NULL
              AND EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = object.zoid OFFSET 0)
            ORDER BY random()
            LIMIT tries);
    END IF;
    IF coalesce(cardinality(v_zoids), 0) < tries THEN
        v_zoids := ARRAY(
            SELECT object.zoid
            FROM relpack.object
            WHERE object.class = 1 AND object.parent IS NOT NULL
              AND EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = object.zoid OFFSET 0)
            LIMIT tries);
    END IF;
    IF v_history THEN
        -- Where garbage stays there is no graph. Most of what lost old revisions is stored.
        IF cardinality(v_zoids) = 0 THEN
            v_zoids := ARRAY(
                SELECT removal.zoid FROM relpack.blob_removal AS removal ORDER BY random() LIMIT tries);
        END IF;
        RETURN QUERY SELECT known.zoid, known.tid FROM relpack.current_blobs(v_zoids) AS known;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT stored.zoid, stored.tid
    FROM unnest(v_zoids) AS known (zoid)
    CROSS JOIN LATERAL (
        SELECT stored.zoid, stored.tid
        FROM relpack.stored()
        WHERE stored.zoid = known.zoid
        OFFSET 0
    ) AS stored;
END;
$$;

COMMENT ON FUNCTION relpack.live_blobs(integer) IS
    'Some reachable blobs with the tids that are stored, at most so many; in a history-preserving storage without a graph, '
    'some of those of which revisions are in relpack.blob_removal. '
    'A blob directory that holds the file of none of them does not count as this storage''s.';
