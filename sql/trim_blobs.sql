-- Before their rows go: who may not unlink the large objects is refused.
CREATE OR REPLACE FUNCTION relpack.trim_blobs(
    chosen_zoids bigint[], chosen_tids bigint[],
    OUT zoids bigint[], OUT tids bigint[], OUT large oid[])
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_owner oid := (SELECT relowner FROM pg_class WHERE oid = to_regclass('public.blob_chunk'));
    v_foreign oid[];
BEGIN
    IF v_owner IS NULL OR NOT EXISTS (SELECT FROM public.blob_chunk) THEN
        RETURN;
    END IF;
    SELECT array_agg(blob_chunk.zoid), array_agg(blob_chunk.tid), array_agg(DISTINCT known.oid) FILTER (WHERE known.oid IS NOT NULL),
           array_agg(DISTINCT known.lomowner) FILTER (WHERE NOT pg_has_role(v_owner, known.lomowner, 'USAGE'))
    INTO zoids, tids, large, v_foreign
    FROM unnest(chosen_zoids, chosen_tids) AS chosen (zoid, tid)
    JOIN public.blob_chunk ON blob_chunk.zoid = chosen.zoid AND blob_chunk.tid = chosen.tid
    LEFT JOIN pg_largeobject_metadata AS known ON known.oid = blob_chunk.chunk;
    IF zoids IS NULL THEN
        RETURN;
    END IF;
    DELETE FROM relpack.blob_removal AS removal
    USING unnest(zoids, tids) AS held (zoid, tid)
    WHERE removal.zoid = held.zoid AND removal.tid = held.tid;
    IF v_foreign IS NOT NULL AND NOT current_setting('lo_compat_privileges')::boolean THEN
        RAISE EXCEPTION 'large objects that would be deleted belong to %, and blob_chunk to %, which may not unlink them',
                        array_to_string(v_foreign::regrole[], ', '), v_owner::regrole
            USING ERRCODE = 'RP002',
                  HINT = (SELECT string_agg(format('GRANT %s TO %s;', owner::regrole, v_owner::regrole), ' ' ORDER BY owner)
                          FROM unnest(v_foreign) AS owner);
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.trim_blobs(bigint[], bigint[]) IS
    'Step of relpack.trim_delete(): of these revisions those whose blobs are in the database, and their large objects that '
    'are there. They have no files: takes them off relpack.blob_removal. Raises RP002 when some of the large objects belong '
    'to a role that the owner of blob_chunk is no member of.';
