-- The last question of a sweep, asked with the writers' lock held: was anything
-- written since the graph was settled? What bytes refer to can't be told without
-- decoding them: whoever decodes looks himself, while the lock is held, at a few;
-- for all others whatever was written may refer to garbage.
CREATE OR REPLACE FUNCTION relpack.sweep_recheck(last_tid bigint, decoder boolean)
RETURNS text
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_states bigint;
    v_bytes bigint;
BEGIN
    -- Triggers switched off, a table exchanged: since the run began.
    IF relpack.doubt() IS NOT NULL
       OR EXISTS (SELECT FROM relpack.write_event WHERE kind = 'truncated')
       OR coalesce(relpack.newest_tid(), 0) < last_tid THEN
        RETURN 'stale';
    END IF;
    SELECT count(*), coalesce(sum(length(few.state)), 0)
    INTO v_states, v_bytes
    FROM (
        (SELECT stored.state
         FROM relpack.stored()
         WHERE stored.tid > (SELECT applied_tid FROM relpack.storage)
         LIMIT 1001)
        UNION ALL
        (SELECT stored.state
         FROM relpack.write_event
         LEFT JOIN relpack.stored() ON stored.zoid = write_event.zoid
         LIMIT 1001)
    ) AS few;
    RETURN CASE
        WHEN v_states = 0 THEN 'nothing new'
        WHEN decoder IS NOT TRUE OR v_states > 1000 OR v_bytes > 500000 THEN 'stale'
        ELSE 'undecoded'
    END;
END;
$$;

COMMENT ON FUNCTION relpack.sweep_recheck(bigint, boolean) IS
    'Step of relpack.sweep(): whether anything was written since the graph was settled. '
    '"nothing new"; else stale, or undecoded where the caller decodes (decoder) and it is little, and looks at '
    'relpack.fresh_state() while the writers'' lock is held.';
