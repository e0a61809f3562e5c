-- Before their rows go: who may not unlink the large objects is refused, and files
-- are listed. The plain state of a blob begins with its class (a node of a BTree may
-- name it a little later), and is so short that zlibstorage (.z) leaves it plain; what
-- begins with a dot otherwise and is short may be an encrypted one.
CREATE OR REPLACE FUNCTION relpack.trim_blobs(zoids bigint[], tids bigint[])
RETURNS oid[]
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
    v_large oid[];
BEGIN
    -- One that was restored meanwhile is removed anew: who began since then may read it.
    INSERT INTO relpack.blob_removal (zoid, tid)
    SELECT stored.zoid, stored.tid
    FROM unnest(zoids, tids) AS chosen (zoid, tid)
    CROSS JOIN LATERAL (
        SELECT object_state.zoid, object_state.tid, object_state.state, object_state.state_size
        FROM public.object_state
        WHERE object_state.zoid = chosen.zoid AND object_state.tid BETWEEN chosen.tid AND chosen.tid
        OFFSET 0
    ) AS stored
    WHERE position('ZODB.blob'::bytea IN substring(stored.state FROM 1 FOR 24)) > 0
       OR (substring(stored.state FROM 1 FOR 1) = '.' AND substring(stored.state FROM 1 FOR 2) <> '.z' AND stored.state_size < 300)
    ON CONFLICT (zoid, tid) DO UPDATE SET since = NULL;
    IF v_owner IS NULL THEN
        RETURN NULL;
    END IF;
    -- In the database there is no file.
    DELETE FROM relpack.blob_removal AS removal
    USING unnest(zoids, tids) AS chosen (zoid, tid)
    WHERE removal.zoid = chosen.zoid AND removal.tid = chosen.tid
      AND EXISTS (SELECT FROM public.blob_chunk WHERE blob_chunk.zoid = removal.zoid AND blob_chunk.tid = removal.tid);
    SELECT array_agg(DISTINCT known.oid),
           array_agg(DISTINCT known.lomowner) FILTER (WHERE NOT pg_has_role(v_owner, known.lomowner, 'USAGE'))
    INTO v_large, v_foreign
    FROM unnest(zoids, tids) AS chosen (zoid, tid)
    JOIN public.blob_chunk ON blob_chunk.zoid = chosen.zoid AND blob_chunk.tid = chosen.tid
    JOIN pg_largeobject_metadata AS known ON known.oid = blob_chunk.chunk;
    IF v_foreign IS NOT NULL AND NOT current_setting('lo_compat_privileges')::boolean THEN
        RAISE EXCEPTION 'large objects that would be deleted belong to %, and blob_chunk to %, which may not unlink them',
                        array_to_string(v_foreign::regrole[], ', '), v_owner::regrole
            USING ERRCODE = 'RP002',
                  HINT = (SELECT string_agg(format('GRANT %s TO %s;', owner::regrole, v_owner::regrole), ' ' ORDER BY owner)
                          FROM unnest(v_foreign) AS owner);
    END IF;
    RETURN v_large;
END;
$$;

COMMENT ON FUNCTION relpack.trim_blobs(bigint[], bigint[]) IS
    'Step of relpack.trim_delete(): lists the files of blobs among these revisions in relpack.blob_removal, and returns '
    'their large objects that are there; raises RP002 when some belong to a role that the owner of blob_chunk is no member of.';
