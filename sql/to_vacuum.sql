-- What lies dead in a small table is looked through faster than it is cleaned. Files of
-- blobs stay listed in blob_removal while somebody may read them: there the size alone
-- tells nothing. A role that owns nothing leaves it to autovacuum; from PostgreSQL 17 on
-- there is a privilege for it.
CREATE OR REPLACE FUNCTION relpack.to_vacuum(changed bigint)
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF changed = 0 THEN
        RETURN NULL;
    END IF;
    RETURN (
        SELECT string_agg('relpack.' || relname, ', ')
        FROM pg_class
        WHERE relnamespace = 'relpack'::regnamespace
          AND CASE
              WHEN relname IN ('object', 'object_inref')
                  THEN changed * 50 > (SELECT objects - (SELECT count(*) FROM relpack.missing) FROM relpack.storage)
              WHEN relname = 'blob_removal' AND pg_stat_get_dead_tuples(oid) * 5 < pg_stat_get_live_tuples(oid)
                  THEN false
              WHEN relname IN ('write_event', 'pending', 'suspect', 'doomed', 'blob_removal', 'storage',
                               'foreign_reference', 'to_trim')
                  THEN pg_relation_size(oid) >= 1048576
              ELSE false
              END
          AND CASE
              WHEN pg_has_role(relowner, 'USAGE') THEN true
              WHEN current_setting('server_version_num')::int >= 170000 THEN has_table_privilege(oid, 'MAINTAIN')
              ELSE false
              END);
END;
$$;

COMMENT ON FUNCTION relpack.to_vacuum(bigint) IS
    'Which of relpack''s tables a pack that has read or deleted so many objects is to VACUUM, with commas between; '
    'NULL: none. RelStorage''s tables are their DBA''s.';
