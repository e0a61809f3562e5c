-- A BEFORE trigger that returns NULL, and a rule, leave a row where it is, and
-- the server says no word. Without such a trigger, or in another revision, it is
-- one that was stored in the meantime.
CREATE OR REPLACE FUNCTION relpack.require_deleted(tablename regclass, remain bigint[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_triggers text;
BEGIN
    IF cardinality(remain) = 0 THEN
        RETURN;
    END IF;
    -- Of tgtype: FOR EACH ROW (1), BEFORE (2), DELETE (8).
    SELECT string_agg(tgname, ', ' ORDER BY tgname)
    INTO v_triggers
    FROM pg_trigger
    WHERE tgrelid = tablename AND NOT tgisinternal AND tgenabled <> 'D' AND tgtype & 11 = 11
      AND (tgname NOT LIKE 'blob\_chunk\_delete%' OR tablename = 'public.object_state'::regclass);
    IF v_triggers IS NULL
       OR (tablename = 'public.object_state'::regclass AND NOT EXISTS (
               SELECT
               FROM relpack.stored()
               JOIN relpack.object ON object.zoid = stored.zoid AND object.tid = stored.tid
               WHERE stored.zoid = ANY (remain))) THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'stale';
    END IF;
    RAISE EXCEPTION 'a trigger on % keeps rows that are to be deleted: %', tablename, v_triggers
        USING ERRCODE = 'RP002',
              DETAIL = format('Kept: zoid %s', array_to_string(remain[1:10], ', ')),
              HINT = 'Nothing of this batch was deleted. Drop the trigger, or let it return OLD.';
END;
$$;

COMMENT ON FUNCTION relpack.require_deleted(regclass, bigint[]) IS
    'Step of relpack.sweep_delete(): raises RP002 with the trigger''s name when remain, rows of this table that were '
    'to be deleted, is not empty; RP003 (stale) where they are not the same rows, or no trigger can have kept them.';
