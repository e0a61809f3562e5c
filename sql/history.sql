-- For people. Names of users and descriptions are bytes, as a rule of UTF-8: where they
-- are not, other bytes than those of ASCII are shown as octal numbers.
CREATE OR REPLACE FUNCTION relpack.history(object_zoid bigint, days double precision DEFAULT 1)
RETURNS TABLE (
    tid bigint, written timestamptz, size integer, is_current boolean, packed boolean, superseded boolean,
    username text, description text)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
DECLARE
    -- As of relpack pack: a negative number is the newest transaction, and no storage is
    -- older than 100 years.
    v_until constant bigint := CASE
        WHEN days < 0 THEN 9223372036854775807
        ELSE relpack.time_to_tid(now() - least(days, 36500) * interval '24 hours')
        END;
    v_kept bigint[];
    v_username bytea;
    v_description bytea;
BEGIN
    IF NOT relpack.keeps_history() THEN
        RETURN QUERY
        SELECT stored.tid, relpack.tid_to_time(stored.tid), octet_length(stored.state), true, NULL::boolean, false, NULL::text, NULL::text
        FROM relpack.stored()
        WHERE stored.zoid = object_zoid;
        RETURN;
    END IF;
    v_kept := ARRAY(
        SELECT kept.tid
        FROM relpack.trim_kept(object_zoid, v_until) AS kept (tid)
        WHERE NOT EXISTS (
            SELECT
            FROM (
                SELECT stored.tid, stored.state FROM relpack.stored() WHERE stored.zoid = object_zoid ORDER BY stored.tid DESC LIMIT 1
            ) AS newest
            JOIN public.current_object ON current_object.zoid = object_zoid AND (current_object.tid = newest.tid) IS TRUE
            WHERE newest.state IS NULL AND newest.tid <= v_until));
    FOR tid, written, size, is_current, packed, superseded, v_username, v_description IN
        SELECT stored.tid, relpack.tid_to_time(stored.tid), octet_length(stored.state), current_object.tid IS NOT NULL,
               transaction.packed, NOT stored.tid = ANY (v_kept), transaction.username, transaction.description
        FROM relpack.stored()
        LEFT JOIN public.current_object ON current_object.zoid = object_zoid AND (current_object.tid = stored.tid) IS TRUE
        LEFT JOIN public.transaction ON transaction.tid = stored.tid
        WHERE stored.zoid = object_zoid
        ORDER BY stored.tid DESC
    LOOP
        BEGIN
            username := convert_from(v_username, 'UTF8');
            description := convert_from(v_description, 'UTF8');
        EXCEPTION
            WHEN character_not_in_repertoire OR untranslatable_character THEN
                username := encode(v_username, 'escape');
                description := encode(v_description, 'escape');
        END;
        RETURN NEXT;
    END LOOP;
END;
$$;

COMMENT ON FUNCTION relpack.history(bigint, double precision) IS
    'The revisions of an object, the newest first. size: bytes, NULL where it was deleted or its creation undone; '
    'is_current: the application loads this one; packed: nobody can undo its transaction; superseded: a pack with so many '
    'days removes it, be the object reachable or not; a current one without a state goes with pack-gc false, or if the '
    'object can''t be reached. In a history-free storage one row without transaction.';
