-- Rows of another table refer to some of these objects, by a key that lets none
-- of them go. Which they are tells a trial that is always rolled back, halved
-- until one is left: to look into that table takes a right that we may not have.
-- Rows are locked while a trial lasts: not too many at a time.
CREATE OR REPLACE FUNCTION relpack.set_aside_held(tried bigint[])
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_size integer := cardinality(tried);
    v_half integer := (v_size + 1) / 2;
    v_schema text;
    v_table text;
    v_key text;
BEGIN
    IF v_size <= 256 THEN
        BEGIN
            PERFORM set_config('relpack.sweeping', pg_current_xact_id()::text, true);
            SET CONSTRAINTS ALL IMMEDIATE;
            PERFORM relpack.sweep_delete(tried);
            RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'not held';
        EXCEPTION
            WHEN SQLSTATE 'RP003' OR lock_not_available OR deadlock_detected THEN
                v_key := NULL;
            WHEN foreign_key_violation OR restrict_violation THEN
                GET STACKED DIAGNOSTICS v_schema = SCHEMA_NAME, v_table = TABLE_NAME, v_key = CONSTRAINT_NAME;
        END;
        IF v_key IS NULL THEN
            RETURN 0;
        ELSIF v_size = 1 THEN
            INSERT INTO relpack.set_aside (zoid, reason, remedy)
            VALUES (tried[1],
                    format('rows of %I.%I refer to it (foreign key %I)', v_schema, v_table, v_key),
                    'Delete those rows, and the next pack deletes the object')
            ON CONFLICT DO NOTHING;
            RETURN 1;
        END IF;
    END IF;
    RETURN relpack.set_aside_held(tried[1:v_half]) + relpack.set_aside_held(tried[v_half + 1:v_size]);
END;
$$;

COMMENT ON FUNCTION relpack.set_aside_held(bigint[]) IS
    'Step of relpack.sweep(): sets aside those of these objects whose row can''t be deleted because rows of another '
    'table refer to it; returns how many they are.';
