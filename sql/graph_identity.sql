-- TRUNCATE, a restore and VACUUM FULL each give a table another file; a dump
-- that is restored into a cluster made alike, where even oids and files are the
-- same, meets another system identifier.
CREATE OR REPLACE FUNCTION relpack.graph_identity()
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN format('%s %s %s',
        CASE WHEN has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')
             THEN (SELECT system_identifier FROM pg_control_system()) END,
        pg_relation_filenode('relpack.object'),
        pg_relation_filenode('relpack.object_inref'));
END;
$$;

COMMENT ON FUNCTION relpack.graph_identity() IS
    'By what the tables of the graph are recognised: the cluster and their files. Another one than in relpack.storage.graph_identity means that they may have been emptied, rewritten or restored.';
