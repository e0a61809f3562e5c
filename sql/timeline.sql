-- A physical copy of a server (pg_basebackup, a snapshot that is recovered with a
-- signal file) has its system identifier and its oids. When it is promoted, it begins
-- a timeline; pg_control_checkpoint() knows of that only after the next checkpoint.
CREATE OR REPLACE FUNCTION relpack.timeline()
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pg_is_in_recovery()
       OR NOT has_function_privilege('pg_current_wal_lsn()', 'EXECUTE')
       OR NOT has_function_privilege('pg_walfile_name(pg_lsn)', 'EXECUTE') THEN
        RETURN NULL;
    END IF;
    RETURN left(pg_walfile_name(pg_current_wal_lsn()), 8);
END;
$$;

COMMENT ON FUNCTION relpack.timeline() IS
    'The timeline that the server writes, as the names of its WAL files begin; NULL on a standby, and if the role may not see it.';
