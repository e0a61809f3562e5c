-- Nobody reports what becomes of current_object. An object that was set back has all of
-- its revisions in the graph, and none is trimmed. Once it is set back no more, old ones
-- are to go, and what only they refer to. A commit sets it forward, too: that is found by
-- its tid, and what it cut off is dated by that; but for one that names the newest revision
-- of before, which was current then: somebody had set it forward.
CREATE OR REPLACE FUNCTION relpack.capture_set_back(applied bigint)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM relpack.to_trim WHERE alone) THEN
        RETURN;
    END IF;
    DELETE FROM relpack.to_trim
    WHERE alone AND NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = to_trim.zoid OFFSET 0);
    WITH forward AS (
        UPDATE relpack.to_trim
        SET alone = false
        WHERE alone
          AND zoid NOT IN (SELECT relpack.trim_leaves(ARRAY(SELECT known.zoid FROM relpack.to_trim AS known WHERE known.alone)))
        RETURNING zoid
    ), newest AS MATERIALIZED (
        SELECT forward.zoid,
               (SELECT max(stored.tid) FROM relpack.stored() WHERE stored.zoid = forward.zoid AND stored.tid <= applied) AS tid
        FROM forward
    )
    INSERT INTO relpack.write_event (kind, zoid)
    SELECT 'written', newest.zoid
    FROM newest
    WHERE NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = newest.zoid AND stored.tid > applied OFFSET 0)
       OR EXISTS (SELECT FROM relpack.trim_named(ARRAY[newest.zoid], ARRAY[newest.tid], applied));
END;
$$;

COMMENT ON FUNCTION relpack.capture_set_back(bigint) IS
    'Step of relpack.capture_list() and relpack.apply(): looks again at the objects in relpack.to_trim that were set back, '
    'and reports those that are set back no more.';
