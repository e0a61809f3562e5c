-- From now on nothing is deleted (relpack.require_settled) until every object
-- was read again: where one is wrong, there are others.
CREATE OR REPLACE FUNCTION relpack.audit_differs(what text)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_pack_lock();
    INSERT INTO relpack.audit DEFAULT VALUES ON CONFLICT DO NOTHING;
    UPDATE relpack.audit SET difference = what;
END;
$$;

COMMENT ON FUNCTION relpack.audit_differs(text) IS
    'Step of "relpack pack": an audit has found that the graph does not describe the storage. Nothing is deleted until it is mended.';
