-- A DELETE that would do something else to other tables, or nothing at all. A key
-- that merely refuses (NO ACTION, RESTRICT) keeps what it holds, and nothing else;
-- what BEFORE triggers do is seen afterwards (relpack.sweep_delete).
CREATE OR REPLACE FUNCTION relpack.require_deletable()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Of a history-free storage the last two are NULL.
    v_tables oid[] := ARRAY[to_regclass('public.object_state'), to_regclass('public.blob_chunk'),
                            to_regclass('public.current_object'), to_regclass('public.transaction')];
    v_rules text;
    v_keys text;
BEGIN
    SELECT string_agg(format('%I on %s', pg_rewrite.rulename, pg_rewrite.ev_class::regclass), ', ' ORDER BY pg_rewrite.rulename)
    INTO v_rules
    FROM pg_rewrite
    WHERE pg_rewrite.ev_class = ANY (v_tables)
      AND pg_rewrite.ev_type = '4' AND pg_rewrite.ev_enabled <> 'D';
    IF v_rules IS NOT NULL THEN
        RAISE EXCEPTION 'rules change what a DELETE does: %', v_rules
            USING ERRCODE = 'RP002', HINT = 'Drop them: DROP RULE name ON table.';
    END IF;
    SELECT string_agg(format('%I on %s (ON DELETE %s)', pg_constraint.conname, pg_constraint.conrelid::regclass,
                             CASE pg_constraint.confdeltype
                             WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' ELSE 'SET DEFAULT' END), ', '
                      ORDER BY pg_constraint.conname, pg_constraint.conrelid)
    INTO v_keys
    FROM pg_constraint
    WHERE pg_constraint.contype = 'f'
      AND pg_constraint.confrelid = ANY (v_tables)
      AND pg_constraint.confdeltype IN ('c', 'n', 'd')
      AND (pg_constraint.conrelid, pg_constraint.confrelid)
          IS DISTINCT FROM (to_regclass('public.blob_chunk'), to_regclass('public.object_state'));
    IF v_keys IS NOT NULL THEN
        RAISE EXCEPTION 'foreign keys would change rows of other tables when garbage is deleted: %', v_keys
            USING ERRCODE = 'RP002', HINT = 'Change them to ON DELETE NO ACTION, so that the objects they refer to stay, or drop them.';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_deletable() IS
    'Step of relpack.require_settled(): raises RP002 when a DELETE of objects would change rows of tables that are '
    'not RelStorage''s (foreign keys with CASCADE, SET NULL or SET DEFAULT), or when rules on DELETE say what it does.';
