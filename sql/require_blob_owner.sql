-- Chunks of a blob are unlinked by RelStorage's trigger on blob_chunk. A DELETE
-- in object_state gets there by the foreign key, which acts with the rights of
-- blob_chunk's owner, whoever deletes; and a large object belongs to the role
-- that stored it. Most storages have one owner for all: that is seen at once.
CREATE OR REPLACE FUNCTION relpack.require_blob_owner()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
SET enable_hashjoin = on
SET enable_mergejoin = on
SET enable_seqscan = on
AS $$
DECLARE
    v_owner oid := (SELECT relowner FROM pg_class WHERE oid = to_regclass('public.blob_chunk'));
    v_foreign oid[];
    v_count bigint;
    v_zoids bigint[];
BEGIN
    IF v_owner IS NULL OR current_setting('lo_compat_privileges')::boolean THEN
        RETURN;
    END IF;
    SELECT array_agg(known.lomowner)
    INTO v_foreign
    FROM (SELECT DISTINCT lomowner FROM pg_largeobject_metadata) AS known
    WHERE NOT pg_has_role(v_owner, known.lomowner, 'USAGE');
    IF v_foreign IS NULL THEN
        RETURN;
    END IF;
    SELECT count(*), (array_agg(DISTINCT blob_chunk.zoid))[1:10], array_agg(DISTINCT known.lomowner)
    INTO v_count, v_zoids, v_foreign
    FROM relpack.doomed
    JOIN public.blob_chunk ON blob_chunk.zoid = doomed.zoid
    JOIN pg_largeobject_metadata AS known ON known.oid = blob_chunk.chunk
    WHERE known.lomowner = ANY (v_foreign);
    IF v_count > 0 THEN
        RAISE EXCEPTION '% that would be deleted % to %, and blob_chunk to %, which may not unlink them',
                        CASE v_count WHEN 1 THEN '1 large object' ELSE v_count || ' large objects' END,
                        CASE v_count WHEN 1 THEN 'belongs' ELSE 'belong' END, array_to_string(v_foreign::regrole[], ', '), v_owner::regrole
            USING ERRCODE = 'RP002',
                  DETAIL = format('Blobs: %s', array_to_string(v_zoids, ', ')),
                  HINT = (SELECT string_agg(format('GRANT %s TO %s;', owner::regrole, v_owner::regrole), ' ' ORDER BY owner)
                          FROM unnest(v_foreign) AS owner);
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_blob_owner() IS
    'Raises RP002 when large objects of what is in relpack.doomed belong to a role that the owner of blob_chunk is no '
    'member of: their deletion would fail.';
