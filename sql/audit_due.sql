-- What a pack asks before it deletes: whether an audit has found the graph to
-- differ, and how many objects it has to audit at its end. In 27 days each has
-- its turn, by the clock: who packs every night is never behind 28. Less than
-- an hour's share waits for the next pack. A time in the future is that of a
-- clock that was wrong once.
CREATE OR REPLACE FUNCTION relpack.audit_due(OUT objects bigint, OUT difference text)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_met timestamptz;
BEGIN
    SELECT audit.met, audit.difference INTO v_met, difference FROM relpack.audit;
    IF v_met <= now() AND v_met > now() - interval '1 hour' THEN
        objects := 0;
        RETURN;
    END IF;
    IF v_met IS NULL OR v_met > now() OR v_met < now() - interval '27 days' THEN
        v_met := now() - interval '27 days';
    END IF;
    objects := (
        SELECT ceil(extract(epoch FROM now() - v_met) / extract(epoch FROM interval '27 days') * greatest(storage.objects, 1))
        FROM relpack.storage
        WHERE storage.graph = 'current');
    objects := coalesce(objects, 0);
END;
$$;

COMMENT ON FUNCTION relpack.audit_due() IS
    'Step of "relpack pack": how many objects the clock wants read again and compared with the graph at the end of '
    'this run, a 27th of them a day; difference: what an audit has found, if that is not mended yet.';
