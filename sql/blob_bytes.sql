-- Who may not read pg_largeobject, where only a superuser may as a rule, may still
-- open a large object of his own and look where it ends. Each is closed again: a
-- transaction has room for so many open ones only.
CREATE OR REPLACE FUNCTION relpack.blob_bytes(zoids bigint[], OUT zoid bigint, OUT bytes bigint)
RETURNS SETOF record
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_blob record;
    v_chunk oid;
    v_opened integer;
BEGIN
    IF NOT coalesce(has_table_privilege(to_regclass('public.blob_chunk'), 'SELECT'), false) THEN
        RETURN;
    END IF;
    FOR v_blob IN
        SELECT chunk.zoid, array_agg(chunk.oid) AS chunks, bool_and(chunk.readable) AS readable
        FROM (
            SELECT asked.zoid, known.oid,
                   EXISTS (
                       SELECT
                       FROM aclexplode(coalesce(known.lomacl, acldefault('L', known.lomowner))) AS granted
                       WHERE granted.privilege_type = 'SELECT'
                         AND (granted.grantee = 0 OR pg_has_role(granted.grantee, 'USAGE'))) AS readable
            FROM unnest(zoids) AS asked (zoid)
            CROSS JOIN LATERAL (
                SELECT blob_chunk.chunk FROM public.blob_chunk WHERE blob_chunk.zoid = asked.zoid OFFSET 0
            ) AS kept
            CROSS JOIN LATERAL (
                SELECT oid, lomacl, lomowner FROM pg_largeobject_metadata WHERE oid = kept.chunk OFFSET 0
            ) AS known
        ) AS chunk
        GROUP BY chunk.zoid
    LOOP
        zoid := v_blob.zoid;
        bytes := NULL;
        IF v_blob.readable THEN
            bytes := 0;
            FOREACH v_chunk IN ARRAY v_blob.chunks LOOP
                v_opened := lo_open(v_chunk, 262144); -- INV_READ
                bytes := bytes + lo_lseek64(v_opened, 0, 2); -- SEEK_END
                PERFORM lo_close(v_opened);
            END LOOP;
        END IF;
        RETURN NEXT;
    END LOOP;
END;
$$;

COMMENT ON FUNCTION relpack.blob_bytes(bigint[]) IS
    'How many bytes the large objects of these blobs have, as blob_chunk names them. '
    'NULL where this role may not read one of them; no row for a blob without any.';
