CREATE OR REPLACE FUNCTION relpack.class_name(class integer)
RETURNS text
LANGUAGE sql
STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE id WHEN 0 THEN '(unknown)' ELSE concat_ws('.', nullif(module, ''), name) END
    FROM relpack.class
    WHERE id = class_name.class;
$$;

COMMENT ON FUNCTION relpack.class_name(integer) IS
    'The dotted name of a class number of relpack.object.';
