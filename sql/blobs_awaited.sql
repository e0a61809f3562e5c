CREATE OR REPLACE FUNCTION relpack.blobs_awaited(OUT blobs bigint, OUT client text)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_oldest timestamptz := coalesce(relpack.grace_oldest_transaction(), 'infinity');
BEGIN
    blobs := (SELECT count(*) FROM relpack.blob_removal WHERE (since < v_oldest) IS NOT TRUE AND missed IS NULL);
    IF blobs > 0 THEN
        client := relpack.oldest_client();
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.blobs_awaited() IS
    'How many rows of relpack.blob_removal in a history-preserving storage wait for the end of transactions that may still '
    'read the files, but for those that were missed, and the client whose transaction is open for longest. '
    'Raises RP002 where that can''t be seen.';
