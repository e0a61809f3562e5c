-- By tables and columns: constraints have other names up to RelStorage 2.x. A foreign
-- key is as good as its four triggers, two on each side, which ALTER TABLE ... DISABLE
-- TRIGGER ALL switches off.
CREATE OR REPLACE FUNCTION relpack.trim_keys()
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_off text;
BEGIN
    IF current_setting('session_replication_role') = 'replica' THEN
        RETURN 'session_replication_role is replica';
    END IF;
    SELECT string_agg(concat_ws(' ', expected.relation, expected.columns, 'REFERENCES ' || expected.target), ', '
                      ORDER BY expected.relation, expected.columns)
    INTO v_off
    FROM (VALUES ('object_state', 'zoid, tid', NULL, NULL, 'p', ''),
                 ('current_object', 'zoid', NULL, NULL, 'p', ''),
                 ('transaction', 'tid', NULL, NULL, 'p', ''),
                 ('object_state', 'tid', 'transaction', 'tid', 'f', 'ar'),
                 ('object_state', 'prev_tid', 'transaction', 'tid', 'f', 'ar'),
                 ('current_object', 'zoid, tid', 'object_state', 'zoid, tid', 'f', 'ar'),
                 ('blob_chunk', 'zoid, tid', 'object_state', 'zoid, tid', 'f', 'c'))
        AS expected (relation, columns, target, target_columns, kind, action)
    WHERE to_regclass('public.' || expected.relation) IS NOT NULL
      AND NOT EXISTS (
          SELECT
          FROM pg_constraint AS held
          CROSS JOIN LATERAL (
              SELECT string_agg(own.attname, ', ' ORDER BY pair.place) AS own, string_agg(other.attname, ', ' ORDER BY pair.place) AS other
              FROM unnest(held.conkey, held.confkey) WITH ORDINALITY AS pair (own, other, place)
              JOIN pg_attribute AS own ON own.attrelid = held.conrelid AND own.attnum = pair.own
              LEFT JOIN pg_attribute AS other ON other.attrelid = held.confrelid AND other.attnum = pair.other
          ) AS names
          WHERE held.conrelid = to_regclass('public.' || expected.relation)
            AND held.contype = expected.kind::"char"
            AND held.convalidated
            AND names.own = expected.columns
            AND CASE
                WHEN expected.kind = 'p' THEN
                    (SELECT indisvalid FROM pg_index WHERE indexrelid = held.conindid)
                ELSE
                    held.confrelid = to_regclass('public.' || expected.target)
                    AND names.other = expected.target_columns
                    AND strpos(expected.action, held.confdeltype::text) > 0
                    AND 4 = (SELECT count(*) FROM pg_trigger WHERE tgconstraint = held.oid AND tgenabled IN ('O', 'A'))
                END);
    -- One more that changes rows of its own would take them along before the others refuse.
    RETURN coalesce(v_off, (
        SELECT string_agg(format('%I on %s changes rows when what it refers to goes', further.conname, further.conrelid::regclass), ', ')
        FROM pg_constraint AS further
        WHERE further.contype = 'f'
          AND further.confdeltype NOT IN ('a', 'r')
          AND further.confrelid IN ('public.object_state'::regclass, 'public.current_object'::regclass, 'public.transaction'::regclass)
          AND further.conrelid IS DISTINCT FROM to_regclass('public.blob_chunk')));
END;
$$;

COMMENT ON FUNCTION relpack.trim_keys() IS
    'Which of the keys that RelStorage creates in a history-preserving storage are missing or switched off, or which '
    'other ones would change rows; NULL: none.';
