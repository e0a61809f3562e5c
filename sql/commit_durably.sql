-- What is committed locally (relpack.commit_locally) is durable elsewhere once
-- this is. No message of a wait that is given up: the report has one.
CREATE OR REPLACE FUNCTION relpack.commit_durably(packer integer, run bigint, deleted bigint)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_packer_alive(packer);
    PERFORM set_config('client_min_messages', 'error', true),
            set_config('synchronous_commit', 'on', true);
    UPDATE relpack.run SET deleted = commit_durably.deleted WHERE id = commit_durably.run;
    IF NOT FOUND THEN
        -- A transaction that has written nothing waits for nobody.
        RAISE EXCEPTION 'the row of this run in relpack.run was deleted' USING ERRCODE = 'RP002', HINT = 'Run "relpack pack" again.';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.commit_durably(integer, bigint, bigint) IS
    'Notes in relpack.run how many objects are deleted, and has the COMMIT of this transaction wait for synchronous '
    'standbys: with it, all that was committed before is durable there, so that files of deleted blobs may go. '
    'For another session than packer, which holds the pack lock: RP004 otherwise.';
