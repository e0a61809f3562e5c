-- Where we may not see since when a transaction is open, we don't guess. Server
-- processes such as autovacuum have no user and hold nothing of ours. Whose
-- track_activities was off at BEGIN has no start, though it be on by now; who is
-- about to begin has none yet, which is over when one looks again. So is what an idle
-- session takes by itself, to catch up with what was altered: it begins with the session's
-- last statement, which may be long ago. What this transaction saw of the sessions, the
-- server shows it until it ends: who has come since is missing.
CREATE OR REPLACE FUNCTION relpack.grace_oldest_transaction()
RETURNS timestamptz
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_oldest timestamptz;
    v_hidden integer;
    v_untracked integer;
    v_unknown text[];
    v_idle boolean;
    v_looks integer := 0;
BEGIN
    LOOP
        PERFORM pg_stat_clear_snapshot();
        SELECT min(activity.xact_start),
               min(activity.pid) FILTER (WHERE activity.backend_start IS NULL),
               min(activity.pid) FILTER (
                   WHERE activity.xact_start IS NULL AND (v_unknown IS NULL OR xact.id = ANY (v_unknown))),
               array_agg(xact.id) FILTER (
                   WHERE activity.xact_start IS NULL AND (v_unknown IS NULL OR xact.id = ANY (v_unknown))),
               bool_or(activity.state = 'idle' AND activity.xact_start IS NOT NULL)
        INTO v_oldest, v_hidden, v_untracked, v_unknown, v_idle
        FROM pg_stat_activity AS activity
        CROSS JOIN LATERAL (
            SELECT pg_locks.virtualxid AS id
            FROM pg_locks
            WHERE pg_locks.pid = activity.pid AND pg_locks.locktype = 'virtualxid'
              AND pg_locks.virtualxid = pg_locks.virtualtransaction AND pg_locks.granted
        ) AS xact
        WHERE activity.datname = current_database()
          AND activity.pid <> pg_backend_pid()
          AND activity.pid NOT IN (SELECT relpack.own_session())
          AND activity.usesysid IS NOT NULL
          AND (activity.backend_type = 'client backend' OR activity.backend_start IS NULL);
        EXIT WHEN v_untracked IS NULL AND v_idle IS NOT TRUE OR v_hidden IS NOT NULL OR v_looks = 6;
        v_looks := v_looks + 1;
        PERFORM pg_sleep(0.005 * 2 ^ v_looks);
    END LOOP;
    IF v_hidden IS NOT NULL THEN
        RAISE EXCEPTION 'role % may not see when the transaction of pid % began; it may still use what would be deleted',
                        current_user, v_hidden
            USING ERRCODE = 'RP002',
                  HINT = format('Let a superuser run: GRANT pg_read_all_stats TO %I;', current_user);
    END IF;
    IF v_untracked IS NOT NULL THEN
        RAISE EXCEPTION 'the server does not know when the transaction of pid % began; it may still use what would be deleted',
                        v_untracked
            USING ERRCODE = 'RP002',
                  HINT = 'track_activities is off in that session, or was when the transaction began: '
                         'switch it on, and wait until the transaction has ended.';
    END IF;
    RETURN v_oldest;
END;
$$;

COMMENT ON FUNCTION relpack.grace_oldest_transaction() IS
    'Since when the oldest open transaction of other clients of this database is open; NULL where there is none. '
    'Raises RP002 where that can''t be seen.';
