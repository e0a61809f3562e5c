-- Commits without waiting for the disk, as the batches before it do: a crash takes back
-- both. Somebody who has the row locked does not hold up a pack.
CREATE OR REPLACE FUNCTION relpack.trim_note(run bigint, revisions bigint, bytes bigint, history jsonb)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $$
BEGIN
    PERFORM relpack.require_packer_alive(pg_backend_pid());
    PERFORM set_config('synchronous_commit', 'off', true);
    UPDATE relpack.run
    SET revisions = trim_note.revisions,
        revision_bytes = trim_note.bytes,
        history = trim_note.history
    WHERE id = trim_note.run;
END;
$$;

COMMENT ON FUNCTION relpack.trim_note(bigint, bigint, bigint, jsonb) IS
    'Notes in relpack.run what a trim has removed so far, for a run that is killed; history: by class. For the session that '
    'holds the pack lock.';
