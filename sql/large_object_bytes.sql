-- Who may not read pg_largeobject, where only a superuser may as a rule, may still
-- open a large object of his own and look where it ends. Each is closed again: a
-- transaction has room for so many open ones only. Who may read that table and owns none
-- looks at the last page of each.
CREATE OR REPLACE FUNCTION relpack.large_object_bytes(large oid[])
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_large oid;
    v_opened integer;
    v_bytes bigint := 0;
BEGIN
    IF EXISTS (
        SELECT
        FROM unnest(large) AS asked (oid)
        CROSS JOIN LATERAL (
            SELECT lomacl, lomowner FROM pg_largeobject_metadata WHERE pg_largeobject_metadata.oid = asked.oid OFFSET 0
        ) AS known
        WHERE NOT EXISTS (
            SELECT
            FROM aclexplode(coalesce(known.lomacl, acldefault('L', known.lomowner))) AS granted
            WHERE granted.privilege_type = 'SELECT'
              AND (granted.grantee = 0 OR pg_has_role(granted.grantee, 'USAGE')))) THEN
        IF NOT has_table_privilege('pg_largeobject', 'SELECT') THEN
            RETURN NULL;
        END IF;
        RETURN (
            SELECT coalesce(sum(last.pageno * (current_setting('block_size')::bigint / 4) + octet_length(last.data)), 0)::bigint
            FROM unnest(large) AS asked (oid)
            CROSS JOIN LATERAL (
                SELECT pg_largeobject.pageno, pg_largeobject.data
                FROM pg_largeobject
                WHERE pg_largeobject.loid = asked.oid
                ORDER BY pg_largeobject.pageno DESC
                LIMIT 1
            ) AS last);
    END IF;
    FOREACH v_large IN ARRAY large LOOP
        v_opened := lo_open(v_large, 262144); -- INV_READ
        v_bytes := v_bytes + lo_lseek64(v_opened, 0, 2); -- SEEK_END
        PERFORM lo_close(v_opened);
    END LOOP;
    RETURN v_bytes;
END;
$$;

COMMENT ON FUNCTION relpack.large_object_bytes(oid[]) IS
    'How many bytes these large objects have, which exist. NULL where this role may not read one of them.';
