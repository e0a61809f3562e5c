-- A pack to a later time takes other revisions only of objects that have one between the
-- two times: that supersedes the one before, or was what named an older one. Objects that
-- a trim left alone are in relpack.to_trim. Whatever else can leave an old revision is an
-- event, or a reason for doubt; against what nobody has thought of all is gone through once
-- a week.
CREATE OR REPLACE FUNCTION relpack.trim_since()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN coalesce((
        SELECT storage.cleared_tid
        FROM relpack.storage
        WHERE storage.graph = 'current'
          AND storage.gone_through > now() - interval '7 days'
          AND storage.gone_through <= now()
          AND NOT EXISTS (SELECT FROM relpack.write_event WHERE kind <> 'ahead')
          AND relpack.doubt() IS NULL), 0);
END;
$$;

COMMENT ON FUNCTION relpack.trim_since() IS
    'Step of relpack.trim_list(): after which tid a trim has to look for what is new, cleared_tid of relpack.storage. '
    '0: a trim has to go through all objects, since the graph is none to rely on, an event is not captured yet, or that '
    'was done more than a week ago.';
