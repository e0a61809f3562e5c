-- Nothing that stays may refer to what is doomed. What was written since the
-- graph was brought up to date is left to the sweep, which looks at it.
CREATE OR REPLACE FUNCTION relpack.audit_proof(refs bigint[], inrefs bigint[])
RETURNS TABLE (zoid bigint, inref bigint)
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
    SELECT held.zoid, held.inref
    FROM (
        SELECT DISTINCT ref.zoid, ref.inref
        FROM unnest(refs, inrefs) AS ref (zoid, inref)
        CROSS JOIN LATERAL (
            SELECT FROM relpack.doomed WHERE doomed.zoid = ref.zoid OFFSET 0
        ) AS chosen
        WHERE NOT EXISTS (SELECT FROM relpack.doomed WHERE doomed.zoid = ref.inref OFFSET 0)
    ) AS held
    WHERE NOT EXISTS (SELECT FROM relpack.pending WHERE pending.zoid = held.inref)
      AND NOT EXISTS (SELECT FROM relpack.write_event WHERE write_event.zoid = held.inref OR write_event.kind = 'truncated')
    ORDER BY held.zoid, held.inref;
$$;

COMMENT ON FUNCTION relpack.audit_proof(bigint[], bigint[]) IS
    'Step of "relpack pack": references as read and decoded a moment ago (inrefs refer to refs), from objects that '
    'stay to objects that are chosen for deletion. There must be none.';
