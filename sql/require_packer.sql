-- Functions with their owner's rights ask this first: what pg_restore -x or a
-- careless GRANT lets everybody execute is not for everybody. current_user is
-- their owner's, so it is the role that the session has taken that counts.
CREATE OR REPLACE FUNCTION relpack.require_packer()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_caller name := CASE current_setting('role') WHEN 'none' THEN session_user ELSE current_setting('role') END;
BEGIN
    IF NOT has_table_privilege(v_caller, 'relpack.object', 'TRUNCATE') THEN
        RAISE EXCEPTION 'role % may not write the graph: it lacks TRUNCATE on relpack.object', v_caller
            USING ERRCODE = 'insufficient_privilege';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_packer() IS
    'Raises insufficient_privilege unless the role that the session has taken may pack.';
