CREATE OR REPLACE FUNCTION relpack.class_id(module text, name text)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_id integer;
BEGIN
    LOOP
        SELECT class.id INTO v_id
        FROM relpack.class
        WHERE class.module = class_id.module AND class.name = class_id.name;
        EXIT WHEN FOUND;
        -- The fixed ones may be lost with all others.
        INSERT INTO relpack.class (id, module, name)
        VALUES (0, '', ''), (1, 'ZODB.blob', 'Blob')
        ON CONFLICT DO NOTHING;
        INSERT INTO relpack.class (module, name)
        VALUES (class_id.module, class_id.name)
        ON CONFLICT DO NOTHING;
    END LOOP;
    RETURN v_id;
END;
$$;

COMMENT ON FUNCTION relpack.class_id(text, text) IS
    'The number of a class in relpack.class, where it is entered if need be.';
