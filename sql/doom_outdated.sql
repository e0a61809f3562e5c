-- Whether relpack.doomed was chosen from another graph or for another pack
-- time. What has begun is finished without being chosen again.
CREATE OR REPLACE FUNCTION relpack.doom_outdated(pack_time timestamptz)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_storage relpack.storage;
BEGIN
    v_storage := relpack.known_storage();
    RETURN v_storage.applied_tid <> v_storage.doomed_tid
        OR NOT EXISTS (SELECT FROM relpack.doomed)
        OR (v_storage.doomed_until > v_storage.begun_until
            AND v_storage.doomed_until <> least(relpack.doom_until(pack_time), greatest(v_storage.detach_tid, v_storage.applied_tid)));
END;
$$;

COMMENT ON FUNCTION relpack.doom_outdated(timestamptz) IS
    'Step of relpack.sweep(): whether what may be deleted with this pack time has to be chosen again.';
