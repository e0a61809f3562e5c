-- A BEFORE trigger that returns NULL, and a rule, leave a row where it is, and the
-- server says no word.
CREATE OR REPLACE FUNCTION relpack.trim_left()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_tables regclass[] := ARRAY[to_regclass('public.object_state'), to_regclass('public.blob_chunk'),
                                 to_regclass('public.current_object')];
    v_others text;
BEGIN
    -- Of tgtype: FOR EACH ROW (1), BEFORE (2), DELETE (8).
    SELECT string_agg(others.name, ', ' ORDER BY others.name)
    INTO v_others
    FROM (
        SELECT format('trigger %I on %s', tgname, tgrelid::regclass)
        FROM pg_trigger
        WHERE tgrelid = ANY (v_tables)
          AND NOT tgisinternal AND tgenabled <> 'D' AND tgtype & 11 = 11 AND tgname NOT LIKE 'blob\_chunk\_delete%'
        UNION ALL
        SELECT format('rule %I on %s', rulename, ev_class::regclass)
        FROM pg_rewrite
        WHERE ev_class = ANY (v_tables)
    ) AS others (name);
    IF v_others IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'changed';
    END IF;
    RAISE EXCEPTION 'rows stay that are to be deleted: %', v_others
        USING ERRCODE = 'RP002', HINT = 'Nothing of this batch was deleted. Drop the trigger or rule.';
END;
$$;

COMMENT ON FUNCTION relpack.trim_left() IS
    'Tells what may have kept a row, where one is left. Step of relpack.trim_delete() and relpack.trim_uncreated(): raises '
    'RP002 with the triggers and rules, RP003 (changed) where there are none.';
