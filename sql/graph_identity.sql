-- Of each table whose rows keep something alive or undeleted, or say what is still
-- to be done, and which relpack itself gives no other file between a first build's
-- beginning and the next. TRUNCATE, a restore and VACUUM FULL each give a table another file; a dump
-- that is restored into a cluster made alike, where even oids and files are the
-- same, meets another system identifier.
CREATE OR REPLACE FUNCTION relpack.graph_identity()
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN concat_ws(' ',
        CASE WHEN has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')
             THEN (SELECT system_identifier FROM pg_control_system()) END,
        pg_relation_filenode('relpack.object'),
        pg_relation_filenode('relpack.object_inref'),
        pg_relation_filenode('relpack.missing'),
        pg_relation_filenode('relpack.write_event'),
        pg_relation_filenode('relpack.pending'),
        pg_relation_filenode('relpack.suspect'),
        pg_relation_filenode('relpack.problem'),
        pg_relation_filenode('relpack.foreign_reference'),
        pg_relation_filenode('relpack.scan_range'),
        pg_relation_filenode('relpack.fill_range'));
END;
$$;

COMMENT ON FUNCTION relpack.graph_identity() IS
    'By what the tables of the graph are recognised: the cluster and their files. '
    'Another one than in relpack.storage.graph_identity means that they may have been emptied, rewritten or restored.';
