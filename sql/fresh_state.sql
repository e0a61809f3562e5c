-- What a sweep that decodes has to look at before it may commit. States are shown
-- to nobody who may not read them in object_state.
CREATE OR REPLACE VIEW relpack.fresh_state WITH (security_invoker = true) AS
SELECT stored.zoid, stored.state
FROM public.object_state AS stored
WHERE stored.tid > (SELECT storage.applied_tid FROM relpack.storage)
UNION ALL
SELECT stored.zoid, stored.state
FROM relpack.write_event
JOIN public.object_state AS stored ON stored.zoid = write_event.zoid;

COMMENT ON VIEW relpack.fresh_state IS
    'Objects written since the graph was brought up to date, with their states; one may be in it twice.';
COMMENT ON COLUMN relpack.fresh_state.zoid IS 'Object id.';
COMMENT ON COLUMN relpack.fresh_state.state IS 'Its state, as stored now.';
