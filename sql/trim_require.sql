-- Before any row of the storage changes in a trim, or counts as cleared, this is asked,
-- and before a sweep of a history (relpack.require_cleared()). Steps that only look, or
-- find nothing to do, don't ask.
CREATE OR REPLACE FUNCTION relpack.trim_require()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.trim_held();
    PERFORM relpack.require_history();
    PERFORM relpack.require_root();
END;
$$;

COMMENT ON FUNCTION relpack.trim_require() IS
    'Raises RP002 unless the storage is a history-preserving one that relpack can trim, all of it is seen, its keys '
    'hold (relpack.require_history()), its root object has a state (relpack.require_root()), '
    'and this session holds the pack lock (relpack.trim_held()).';
