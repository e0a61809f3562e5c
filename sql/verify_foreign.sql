-- References to other databases of states as "relpack verify" read them, against
-- what is recorded; see relpack.verify_states().
CREATE OR REPLACE FUNCTION relpack.verify_foreign(zoids bigint[], inrefs bigint[], far bigint[], databases text[])
RETURNS SETOF bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_mergejoin = off
SET enable_seqscan = off
SET work_mem = '64MB'
AS $$
BEGIN
    IF coalesce(cardinality(inrefs), 0) = 0 AND NOT EXISTS (SELECT FROM relpack.foreign_reference) THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH recorded AS (
        SELECT reference.inref, reference.zoid, reference.database
        FROM unnest(zoids) AS state (zoid)
        CROSS JOIN LATERAL (
            SELECT foreign_reference.inref, foreign_reference.zoid, foreign_reference.database
            FROM relpack.foreign_reference
            WHERE foreign_reference.inref = state.zoid
            OFFSET 0
        ) AS reference
    ), decoded AS (
        SELECT DISTINCT reference.inref, reference.zoid, reference.database COLLATE "C" AS database
        FROM unnest(inrefs, far, databases) AS reference (inref, zoid, database)
    ), other AS (
        SELECT DISTINCT coalesce(decoded.inref, recorded.inref) AS zoid
        FROM decoded
        FULL JOIN recorded
            ON recorded.inref = decoded.inref AND recorded.zoid = decoded.zoid AND recorded.database = decoded.database
        WHERE decoded.inref IS NULL OR recorded.inref IS NULL
    )
    SELECT other.zoid
    FROM other
    LEFT JOIN LATERAL (
        SELECT pending.zoid
        FROM relpack.pending
        WHERE pending.zoid = other.zoid
        OFFSET 0
    ) AS awaited ON true
    WHERE awaited.zoid IS NULL
      AND NOT EXISTS (SELECT FROM relpack.write_event WHERE write_event.zoid = other.zoid);
END;
$$;

COMMENT ON FUNCTION relpack.verify_foreign(bigint[], bigint[], bigint[], text[]) IS
    'Step of "relpack verify": those of these objects (zoids) whose references to other databases, as read and '
    'decoded (inrefs refer to far in databases), are not what is recorded.';
