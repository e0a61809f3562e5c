-- A snapshot of server code, written from sql/ by "go generate ./migrations".

-- +goose Up
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL check_function_bodies = off;
SET LOCAL lock_timeout = '200ms';

-- sql/accept_if_missing.sql
-- +goose StatementBegin
-- In one order, and each that is named twice once.
CREATE OR REPLACE FUNCTION relpack.accept_if_missing(zoids bigint[])
RETURNS SETOF bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_zoid bigint;
BEGIN
    PERFORM relpack.require_pack_lock();
    PERFORM relpack.lock_storage();
    FOR v_zoid IN
        SELECT DISTINCT asked.zoid
        FROM unnest(zoids) AS asked (zoid)
        WHERE EXISTS (SELECT FROM relpack.missing WHERE missing.zoid = asked.zoid)
           OR (EXISTS (SELECT FROM relpack.object WHERE object.zoid = asked.zoid)
               AND NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = asked.zoid))
        ORDER BY asked.zoid
    LOOP
        PERFORM relpack.accept_missing(v_zoid);
        RETURN NEXT v_zoid;
    END LOOP;
END;
$$;

COMMENT ON FUNCTION relpack.accept_if_missing(bigint[]) IS
    'Gives up those of these objects that are missing (relpack.accept_missing), and returns them.';
-- +goose StatementEnd

-- sql/accept_missing.sql
-- +goose StatementBegin
-- As if its deletion had been reported just now, so that the grace of what hung
-- on it begins now. A node whose row no pack has looked for yet is as good as one
-- that is missing: where references are lost, no pack can look any more.
CREATE OR REPLACE FUNCTION relpack.accept_missing(zoid bigint)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_pack_lock();
    PERFORM relpack.lock_storage();
    INSERT INTO relpack.missing (zoid)
    SELECT object.zoid
    FROM relpack.object
    WHERE object.zoid = accept_missing.zoid
      AND NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = object.zoid)
    ON CONFLICT DO NOTHING;
    UPDATE relpack.missing SET accepted = true WHERE missing.zoid = accept_missing.zoid;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'zoid % is not missing', accept_missing.zoid
            USING ERRCODE = 'RP002', HINT = 'To list missing objects: SELECT * FROM relpack.missing_object;';
    END IF;
    INSERT INTO relpack.write_event (kind, zoid) VALUES ('deleted', accept_missing.zoid);
END;
$$;

COMMENT ON FUNCTION relpack.accept_missing(bigint) IS
    'Gives a missing object up: the next pack drops its node, and what only it referred to is garbage then, deleted '
    'after the grace. "relpack pack --accept-missing ZOID" does both.';
-- +goose StatementEnd

-- sql/all_reachable.sql
-- +goose StatementBegin
-- Asked where a trim found nothing: a capture more would list nothing, and what it cost
-- would be for a sweep that has nothing to take.
CREATE OR REPLACE FUNCTION relpack.all_reachable()
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM relpack.storage WHERE graph = 'current' AND NOT reread AND NOT resettle)
           AND NOT EXISTS (SELECT FROM relpack.detached)
           AND NOT EXISTS (SELECT FROM relpack.suspect)
           AND NOT EXISTS (SELECT FROM relpack.pending)
           AND NOT EXISTS (SELECT FROM relpack.write_event);
END;
$$;

COMMENT ON FUNCTION relpack.all_reachable() IS
    'Whether the graph knows of nothing unreachable, and nothing is left to be read or was reported: a sweep would find '
    'nothing to delete.';
-- +goose StatementEnd

-- sql/anyone_waits.sql
-- +goose StatementBegin
-- Asked after every piece of work with rows locked. pg_blocking_pids() holds up
-- the lock manager: it is asked only of who waits for something that we have.
CREATE OR REPLACE FUNCTION relpack.anyone_waits()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = on
SET enable_nestloop = on
AS $$
BEGIN
    RETURN EXISTS (
        WITH locks AS MATERIALIZED (
            SELECT locktype, database, relation, page, tuple, virtualxid, transactionid, classid, objid, objsubid,
                   granted, pid
            FROM pg_locks
        )
        SELECT
        FROM locks AS waiting
        WHERE NOT waiting.granted
          AND EXISTS (
              SELECT
              FROM locks AS held
              WHERE held.granted
                AND held.pid = pg_backend_pid()
                AND held.locktype = waiting.locktype
                AND (held.database, held.relation, held.page, held.tuple, held.virtualxid, held.transactionid,
                     held.classid, held.objid, held.objsubid)
                    IS NOT DISTINCT FROM
                    (waiting.database, waiting.relation, waiting.page, waiting.tuple, waiting.virtualxid,
                     waiting.transactionid, waiting.classid, waiting.objid, waiting.objsubid))
          AND pg_backend_pid() = ANY (pg_blocking_pids(waiting.pid)));
END;
$$;

COMMENT ON FUNCTION relpack.anyone_waits() IS
    'Whether another session waits for a lock that this one holds.';
-- +goose StatementEnd

-- sql/apply.sql
-- +goose StatementBegin
-- Takes over what one chunk read and decoded: edges, nodes and suspects in one
-- transaction. An object that was written after the watermark is left to the
-- next capture: until then it keeps the references that are recorded and gets
-- those that it has now. With the old ones alone, what it came to refer to
-- between the last capture and this one would count as cut off. An event asks
-- to read it again, as its tid may come to be the recorded one again (an older
-- load). A chunk is small beside the graph: everything goes by index, in the
-- functions that are called from here too.
CREATE OR REPLACE FUNCTION relpack.apply()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
AS $$
DECLARE
    v_watermark bigint;
    v_detached bigint;
    v_clock bigint;
    v_edges record;
    v_nodes record;
BEGIN
    PERFORM relpack.require_pack_lock();
    PERFORM relpack.lock_storage();
    IF EXISTS (SELECT FROM relpack.suspect WHERE stage <> 'climb')
       OR (SELECT graph FROM relpack.storage) NOT IN ('current', 'doubtful') THEN
        RAISE EXCEPTION 'changes can only be applied to a settled graph' USING ERRCODE = 'RP002',
            HINT = 'Call relpack.reach() first.';
    END IF;
    -- What was cut off since the capture, but by a commit, has its grace: no later capture
    -- can tell that it was.
    IF relpack.keeps_history() THEN
        PERFORM relpack.capture_set_back((SELECT listed_tid FROM relpack.storage));
    END IF;
    UPDATE relpack.storage
    SET noticed_tid = greatest(noticed_tid, relpack.time_to_tid(clock_timestamp()))
    WHERE EXISTS (SELECT FROM relpack.write_event WHERE (write_event.tid > storage.watermark) IS NOT TRUE);
    SELECT watermark, detach_tid, greatest(clock_tid, relpack.time_to_tid(clock_timestamp()))
    INTO STRICT v_watermark, v_detached, v_clock
    FROM relpack.storage;
    INSERT INTO relpack.capture (watermark, read_until)
    SELECT v_detached, relpack.capture_read_until()
    WHERE v_detached IS NOT NULL
    ON CONFLICT (watermark) DO UPDATE SET read_until = excluded.read_until;
    -- Not stored is what is not stored now either: the others stay pending.
    DELETE FROM relpack.examined_object AS examined
    WHERE examined.tid IS NULL
      AND EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = examined.zoid);
    DELETE FROM relpack.pending USING relpack.examined_object AS examined WHERE pending.zoid = examined.zoid;
    IF EXISTS (SELECT FROM relpack.examined_object WHERE zoid = 0 AND tid IS NULL) THEN
        RAISE EXCEPTION 'the storage has no root object (zoid 0)'
            USING ERRCODE = 'RP002', HINT = 'Restore object 0 from a backup.';
    END IF;
    PERFORM relpack.hold_missing();
    DELETE FROM relpack.examined_inref
    WHERE guessed
      AND NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = examined_inref.zoid)
      -- The row of a node may be missing; if it was given up, the node goes with
      -- this chunk or with a later one.
      AND (NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = examined_inref.zoid)
           OR EXISTS (SELECT FROM relpack.examined_object AS gone
                      WHERE gone.zoid = examined_inref.zoid AND gone.tid IS NULL)
           OR EXISTS (SELECT FROM relpack.missing
                      WHERE missing.zoid = examined_inref.zoid AND missing.accepted));

    -- Read ahead of the capture: a state rewritten under this very tid before
    -- the next makes no event of its own. In a history it takes no other with it.
    INSERT INTO relpack.write_event (kind, zoid, tid)
    SELECT CASE WHEN (SELECT keeps_history FROM relpack.storage) THEN 'ahead' ELSE 'written' END, zoid, tid
    FROM relpack.examined_object
    WHERE tid > v_watermark;

    v_edges := relpack.apply_edges(v_watermark, v_detached);
    v_nodes := relpack.apply_nodes(v_watermark, v_detached, v_clock);
    PERFORM relpack.note_dangling(v_edges.named, v_edges.unnamed, v_nodes.entered);
    PERFORM relpack.apply_problems();
    PERFORM relpack.apply_foreign(v_watermark);
    PERFORM relpack.apply_set_back();

    -- Events change the graph without a higher applied_tid: what was chosen
    -- for deletion is chosen again in any case.
    UPDATE relpack.storage
    SET objects = objects + v_nodes.added - v_nodes.removed,
        inrefs = inrefs + v_edges.added - v_edges.removed,
        doomed_tid = 0;
    PERFORM relpack.apply_discard();
    RETURN relpack.apply_finish();
END;
$$;

COMMENT ON FUNCTION relpack.apply() IS
    'Brings the graph up to what was examined (relpack.examined_object and its companions, filled by "relpack pack"); '
    'returns how many objects are still pending.';
-- +goose StatementEnd

-- sql/apply_discard.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.apply_discard()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- See relpack.apply_join().
    PERFORM pg_advisory_xact_lock(1919249520, 2);
    PERFORM relpack.scratch_clear('relpack.examined_object'),
            relpack.scratch_clear('relpack.examined_inref'),
            relpack.scratch_clear('relpack.examined_problem'),
            relpack.scratch_clear('relpack.examined_foreign');
END;
$$;

COMMENT ON FUNCTION relpack.apply_discard() IS
    'Forgets what a chunk read and did not apply; relpack.pending still names it.';
-- +goose StatementEnd

-- sql/apply_edges.sql
-- +goose StatementBegin
-- Most references of a changed object are what they were: those recorded
-- (1) and those read (2) are laid side by side once, and only what differs
-- is looked up. Edges that are gone detach what hung on them. Every detached
-- target of any new edge is suspected, whoever the edge comes from.
CREATE OR REPLACE FUNCTION relpack.apply_edges(
    watermark bigint, since bigint, OUT removed bigint, OUT added bigint, OUT named bigint[], OUT unnamed bigint[])
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    WITH difference AS MATERIALIZED (
        SELECT edge.zoid, edge.inref, bit_or(edge.side) AS side
        FROM (
            SELECT recorded.zoid, examined.zoid AS inref,
                   CASE WHEN (examined.tid > apply_edges.watermark) IS NOT TRUE THEN 1 ELSE 3 END AS side
            FROM relpack.examined_object AS examined
            CROSS JOIN LATERAL (
                SELECT object_inref.zoid
                FROM relpack.object_inref
                WHERE object_inref.inref = examined.zoid
                OFFSET 0
            ) AS recorded
            UNION ALL
            SELECT examined_inref.zoid, examined_inref.inref, 2
            FROM relpack.examined_inref
        ) AS edge
        GROUP BY edge.zoid, edge.inref
        HAVING bit_or(edge.side) <> 3
    ), gone AS (
        DELETE FROM relpack.object_inref
        USING difference
        WHERE object_inref.zoid = difference.zoid AND object_inref.inref = difference.inref AND difference.side = 1
        RETURNING object_inref.zoid, object_inref.inref
    ), detached AS (
        UPDATE relpack.object
        SET parent = NULL, detached_tid = apply_edges.since
        FROM gone
        WHERE object.zoid = gone.zoid AND object.parent = gone.inref AND object.zoid <> 0
        RETURNING object.zoid
    ), born AS (
        INSERT INTO relpack.object_inref (zoid, inref)
        SELECT zoid, inref FROM difference WHERE side = 2 ORDER BY zoid, inref
        RETURNING zoid
    ), suspected AS (
        INSERT INTO relpack.suspect (zoid, stage)
        SELECT zoid, 'climb' FROM detached
        UNION
        SELECT object.zoid, 'climb'
        FROM born
        CROSS JOIN LATERAL (
            SELECT object.zoid
            FROM relpack.object
            WHERE object.zoid = born.zoid AND object.parent IS NULL
            OFFSET 0
        ) AS object
        ON CONFLICT DO NOTHING
    )
    SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM born),
           (SELECT array_agg(DISTINCT zoid) FROM born), (SELECT array_agg(DISTINCT zoid) FROM gone)
    INTO removed, added, named, unnamed;
END;
$$;

COMMENT ON FUNCTION relpack.apply_edges(bigint, bigint) IS
    'Step of relpack.apply(): references that are gone leave the graph, and what hung on them is detached, as of since; '
    'new ones enter it. Returns how many, and what is referred to no longer (unnamed) and now (named).';
-- +goose StatementEnd

-- sql/apply_finish.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.apply_finish()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_pending bigint;
BEGIN
    SELECT count(*) INTO v_pending FROM relpack.pending;
    IF v_pending = 0 THEN
        UPDATE relpack.storage SET applied_tid = listed_tid, settled_tid = coalesce(detach_tid, 0);
    END IF;
    RETURN v_pending;
END;
$$;

COMMENT ON FUNCTION relpack.apply_finish() IS
    'Returns how many objects are pending; when none is, the graph describes the storage up to what was collected.';
-- +goose StatementEnd

-- sql/apply_foreign.sql
-- +goose StatementBegin
-- References to other databases of what a chunk read. An object that was written
-- after the watermark keeps those that are recorded and gets those that it has
-- now, as with the references within the storage; so does one that is not stored
-- but has its node. Most storages have none and pay nothing. Called with the
-- settings of relpack.apply(): everything goes by index.
CREATE OR REPLACE FUNCTION relpack.apply_foreign(watermark bigint)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM relpack.foreign_reference) THEN
        DELETE FROM relpack.foreign_reference
        USING relpack.examined_object AS examined
        WHERE foreign_reference.inref = examined.zoid
          AND (examined.tid <= apply_foreign.watermark
               OR NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = examined.zoid))
          AND NOT EXISTS (
              SELECT
              FROM relpack.examined_foreign AS read
              WHERE read.inref = foreign_reference.inref
                AND read.database = foreign_reference.database
                AND read.zoid = foreign_reference.zoid);
    END IF;
    IF EXISTS (SELECT FROM relpack.examined_foreign) THEN
        INSERT INTO relpack.foreign_reference (inref, database, zoid)
        SELECT DISTINCT inref, database, zoid
        FROM relpack.examined_foreign
        ON CONFLICT DO NOTHING;
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.apply_foreign(bigint) IS
    'Step of relpack.apply(): brings relpack.foreign_reference up to what was examined, after the nodes.';
-- +goose StatementEnd

-- sql/apply_join.sql
-- +goose StatementBegin
-- Held until the transaction ends; relpack.apply_discard() waits for it
-- before it empties the tables. So another pack, which begins with that, finds
-- nothing in them that a session of a lost one still sends.
CREATE OR REPLACE FUNCTION relpack.apply_join(packer integer)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1919249520, 2),
            set_config('idle_in_transaction_session_timeout', '10s', true);
    PERFORM relpack.require_packer_alive(packer);
END;
$$;

COMMENT ON FUNCTION relpack.apply_join(integer) IS
    'Begins a transaction of a second session that sends what was read for the session packer, which must hold the '
    'pack lock: RP004 otherwise. Takes advisory lock (1919249520, 2) shared.';
-- +goose StatementEnd

-- sql/apply_nodes.sql
-- +goose StatementBegin
-- After the edges. A new node is detached until a climb has found it alive.
CREATE OR REPLACE FUNCTION relpack.apply_nodes(
    watermark bigint, since bigint, clock bigint, OUT removed bigint, OUT added bigint, OUT entered bigint[])
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    WITH gone AS (
        DELETE FROM relpack.object
        USING relpack.examined_object AS examined
        WHERE object.zoid = examined.zoid AND examined.tid IS NULL
        RETURNING object.zoid
    ), unsuspected AS (
        DELETE FROM relpack.suspect USING gone WHERE suspect.zoid = gone.zoid
    ), undoomed AS (
        DELETE FROM relpack.doomed USING gone WHERE doomed.zoid = gone.zoid
    )
    SELECT count(*) INTO removed FROM gone;

    -- Garbage that somebody wrote again is in use somewhere: a deletion that has
    -- begun does not include it any more.
    IF EXISTS (SELECT FROM relpack.doomed) THEN
        DELETE FROM relpack.doomed
        USING relpack.examined_object AS examined, relpack.object
        WHERE doomed.zoid = examined.zoid AND object.zoid = examined.zoid AND object.tid <> examined.tid;
    END IF;

    -- Garbage that is written again is as young as that, by the clock if the tid
    -- is ahead of it.
    WITH known AS (
        UPDATE relpack.object
        SET tid = examined.tid, class = examined.class, size = examined.size,
            detached_tid = CASE
                WHEN object.parent IS NOT NULL OR object.tid = examined.tid THEN object.detached_tid
                ELSE greatest(object.detached_tid, least(examined.tid, apply_nodes.clock))
            END
        FROM relpack.examined_object AS examined
        WHERE object.zoid = examined.zoid AND examined.tid <= apply_nodes.watermark
        RETURNING object.zoid
    ), born AS (
        INSERT INTO relpack.object (zoid, tid, parent, detached_tid, class, size)
        SELECT zoid, tid,
               CASE zoid WHEN 0 THEN 0 END,
               CASE WHEN zoid <> 0 THEN greatest(
                   apply_nodes.since, CASE WHEN tid > apply_nodes.watermark THEN least(tid, apply_nodes.clock) END) END,
               class, size
        FROM relpack.examined_object
        WHERE tid IS NOT NULL AND zoid NOT IN (SELECT zoid FROM known)
        ORDER BY zoid
        ON CONFLICT DO NOTHING
        RETURNING zoid
    ), suspected AS (
        INSERT INTO relpack.suspect (zoid, stage)
        SELECT zoid, 'climb' FROM born WHERE zoid <> 0
        ON CONFLICT DO NOTHING
    )
    SELECT count(*), coalesce(array_agg(zoid), '{}') INTO added, entered FROM born;
END;
$$;

COMMENT ON FUNCTION relpack.apply_nodes(bigint, bigint, bigint) IS
    'Step of relpack.apply(): nodes of what is not stored leave the graph, those of what was written follow, and those of '
    'what is new enter it, detached as of since. clock is a tid that no age is above. Returns how many, and which entered.';
-- +goose StatementEnd

-- sql/apply_problems.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.apply_problems()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM relpack.problem) THEN
        DELETE FROM relpack.problem
        USING relpack.examined_object AS examined
        WHERE problem.zoid = examined.zoid;
    END IF;
    INSERT INTO relpack.problem (zoid, blocks, kind, detail)
    SELECT zoid, kind = 'opaque', kind, detail FROM relpack.examined_problem;
END;
$$;

COMMENT ON FUNCTION relpack.apply_problems() IS
    'Step of relpack.apply(): what was examined has the problems that it has now, and no others.';
-- +goose StatementEnd

-- sql/apply_set_back.sql
-- +goose StatementBegin
-- Of each object only one row of current_object is looked up: all but a few name the
-- revision that was read. Called with the settings of relpack.apply().
CREATE OR REPLACE FUNCTION relpack.apply_set_back()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT relpack.keeps_history() THEN
        RETURN;
    END IF;
    INSERT INTO relpack.to_trim (zoid, alone)
    SELECT leaves.zoid, true
    FROM relpack.trim_leaves(ARRAY(
        SELECT examined.zoid
        FROM relpack.examined_object AS examined
        WHERE examined.tid IS NOT NULL
          AND NOT EXISTS (
              SELECT
              FROM public.current_object
              WHERE current_object.zoid = examined.zoid AND (current_object.tid = examined.tid) IS TRUE
              OFFSET 0))) AS leaves (zoid)
    ON CONFLICT (zoid) DO UPDATE SET alone = true WHERE NOT to_trim.alone;
END;
$$;

COMMENT ON FUNCTION relpack.apply_set_back() IS
    'Step of relpack.apply(): notes in relpack.to_trim which of the objects that were read have another current revision '
    'than their newest.';
-- +goose StatementEnd

-- sql/audit_differs.sql
-- +goose StatementBegin
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
-- +goose StatementEnd

-- sql/audit_done.sql
-- +goose StatementBegin
-- Pieces of one audit that meet become one row: there are as many rows as packs
-- in the time that all objects take.
CREATE OR REPLACE FUNCTION relpack.audit_done(first_zoid bigint, last_zoid bigint, began timestamptz, objects bigint)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_share interval;
BEGIN
    PERFORM relpack.require_pack_lock();
    IF NOT EXISTS (SELECT FROM relpack.audited) THEN
        INSERT INTO relpack.audited (first_zoid, last_zoid, since)
        VALUES (-9223372036854775807, 9223372036854775807, '-infinity');
    END IF;
    WITH overlapped AS (
        DELETE FROM relpack.audited
        WHERE first_zoid <= audit_done.last_zoid AND last_zoid >= audit_done.first_zoid
        RETURNING first_zoid, last_zoid, since
    ), remains AS (
        SELECT first_zoid, audit_done.first_zoid - 1, since
        FROM overlapped
        WHERE first_zoid < audit_done.first_zoid
        UNION ALL
        SELECT least(audit_done.last_zoid, 9223372036854775806) + 1, last_zoid, since
        FROM overlapped
        WHERE last_zoid > audit_done.last_zoid
    )
    INSERT INTO relpack.audited (first_zoid, last_zoid, since)
    SELECT * FROM remains;
    UPDATE relpack.audited
    SET last_zoid = audit_done.last_zoid
    WHERE last_zoid = audit_done.first_zoid - 1 AND since = began;
    IF NOT FOUND THEN
        INSERT INTO relpack.audited (first_zoid, last_zoid, since)
        VALUES (audit_done.first_zoid, audit_done.last_zoid, began);
    END IF;

    INSERT INTO relpack.audit DEFAULT VALUES ON CONFLICT DO NOTHING;
    IF NOT EXISTS (SELECT FROM relpack.audited WHERE since <> began) THEN
        UPDATE relpack.audit SET met = began;
        RETURN;
    END IF;
    SELECT interval '27 days' * (audit_done.objects::float8 / greatest(storage.objects, 1)) INTO v_share FROM relpack.storage;
    UPDATE relpack.audit
    SET met = least(began,
                    greatest(CASE WHEN met > began THEN '-infinity' ELSE met END, began - interval '27 days') + v_share);
END;
$$;

COMMENT ON FUNCTION relpack.audit_done(bigint, bigint, timestamptz, bigint) IS
    'Step of "relpack pack": so many objects of a range of zoids were read again and found to be what the graph records.';
-- +goose StatementEnd

-- sql/audit_due.sql
-- +goose StatementBegin
-- What a pack asks before it deletes: whether an audit has found the graph to
-- differ, and how many objects it has to audit at its end. In 27 days each has
-- its turn, by the clock: who packs every night is never behind 28. Less than
-- an hour's share waits for the next pack. A time in the future is that of a
-- clock that was wrong once.
CREATE OR REPLACE FUNCTION relpack.audit_due(OUT objects bigint, OUT difference text)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_met timestamptz;
BEGIN
    SELECT audit.met, audit.difference INTO v_met, difference FROM relpack.audit;
    IF v_met <= now() AND v_met > now() - interval '1 hour' THEN
        objects := 0;
        RETURN;
    END IF;
    IF v_met IS NULL OR v_met > now() OR v_met < now() - interval '27 days' THEN
        v_met := now() - interval '27 days';
    END IF;
    objects := (
        SELECT ceil(extract(epoch FROM now() - v_met) / extract(epoch FROM interval '27 days') * greatest(storage.objects, 1))
        FROM relpack.storage
        WHERE storage.graph = 'current');
    objects := coalesce(objects, 0);
END;
$$;

COMMENT ON FUNCTION relpack.audit_due() IS
    'Step of "relpack pack": how many objects the clock wants read again and compared with the graph at the end of '
    'this run, a 27th of them a day; difference: what an audit has found, if that is not mended yet.';
-- +goose StatementEnd

-- sql/audit_kept.sql
-- +goose StatementBegin
-- What garbage refers to is often what holds it as long as it is alive: its
-- container, its catalog. A node that is lost counts too.
CREATE OR REPLACE FUNCTION relpack.audit_kept(refs bigint[], objects integer, bytes bigint)
RETURNS bigint[]
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(taken.zoid), '{}')
    FROM (
        SELECT picked.zoid, sum(picked.size) OVER (ORDER BY picked.place) - picked.size AS before
        FROM (
            SELECT kept.zoid, coalesce(object.size, 0) AS size, row_number() OVER (ORDER BY random()) AS place
            FROM (SELECT DISTINCT ref.zoid FROM unnest(refs) AS ref (zoid)) AS kept
            LEFT JOIN LATERAL (
                SELECT node.size FROM relpack.object AS node WHERE node.zoid = kept.zoid OFFSET 0
            ) AS object ON true
            WHERE NOT EXISTS (SELECT FROM relpack.doomed WHERE doomed.zoid = kept.zoid OFFSET 0)
        ) AS picked
        WHERE picked.place <= objects
    ) AS taken
    WHERE taken.before < bytes;
$$;

COMMENT ON FUNCTION relpack.audit_kept(bigint[], integer, bigint) IS
    'Step of "relpack pack": of the objects that a sample of the doomed refers to, up to so many that stay, to be read again.';
-- +goose StatementEnd

-- sql/audit_proof.sql
-- +goose StatementBegin
-- Nothing that stays may refer to what is doomed. What was written since the
-- graph was brought up to date is left to the sweep, which looks at it.
CREATE OR REPLACE FUNCTION relpack.audit_proof(refs bigint[], inrefs bigint[])
RETURNS TABLE (zoid bigint, inref bigint)
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
    SELECT held.zoid, held.inref
    FROM (
        SELECT DISTINCT ref.zoid, ref.inref
        FROM unnest(refs, inrefs) AS ref (zoid, inref)
        CROSS JOIN LATERAL (
            SELECT FROM relpack.doomed WHERE doomed.zoid = ref.zoid OFFSET 0
        ) AS chosen
        WHERE NOT EXISTS (SELECT FROM relpack.doomed WHERE doomed.zoid = ref.inref OFFSET 0)
    ) AS held
    WHERE NOT EXISTS (SELECT FROM relpack.pending WHERE pending.zoid = held.inref)
      AND NOT EXISTS (SELECT FROM relpack.write_event WHERE write_event.zoid = held.inref OR write_event.kind = 'truncated')
    ORDER BY held.zoid, held.inref;
$$;

COMMENT ON FUNCTION relpack.audit_proof(bigint[], bigint[]) IS
    'Step of "relpack pack": references as read and decoded a moment ago (inrefs refer to refs), from objects that '
    'stay to objects that are chosen for deletion. There must be none.';
-- +goose StatementEnd

-- sql/audit_range.sql
-- +goose StatementBegin
-- What has gone without an audit for the longest time comes first. By zoid, so
-- that neither VACUUM FULL nor new objects move anything from one range to
-- another. As many nodes as stored objects at most: whichever are lost.
CREATE OR REPLACE FUNCTION relpack.audit_range(
    objects integer, began timestamptz,
    OUT first_zoid bigint, OUT last_zoid bigint)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    v_since timestamptz;
    v_first bigint;
BEGIN
    SELECT CASE WHEN audited.since > began THEN '-infinity' ELSE audited.since END, audited.first_zoid
    INTO v_since, v_first
    FROM relpack.audited
    ORDER BY 1, 2
    LIMIT 1;
    IF v_since >= began THEN
        RETURN;
    END IF;
    first_zoid := coalesce(v_first, -9223372036854775807);
    last_zoid := coalesce(
        least((SELECT object.zoid FROM relpack.object
               WHERE object.zoid >= first_zoid ORDER BY object.zoid OFFSET objects - 1 LIMIT 1),
              (SELECT stored.zoid FROM relpack.stored()
               WHERE stored.zoid >= first_zoid ORDER BY stored.zoid OFFSET objects - 1 LIMIT 1),
              (SELECT min(audited.first_zoid) - 1 FROM relpack.audited
               WHERE audited.first_zoid > audit_range.first_zoid AND audited.since = began)),
        9223372036854775807);
END;
$$;

COMMENT ON FUNCTION relpack.audit_range(integer, timestamptz) IS
    'Step of "relpack pack": the next range of zoids, of so many objects at most, for an audit that began then; '
    'NULL when it has been through all of them.';
-- +goose StatementEnd

-- sql/audit_sample.sql
-- +goose StatementBegin
-- Of what is chosen for deletion a few at random, and no more than some bytes
-- of states (but for the last of them): all are held in memory at once.
CREATE OR REPLACE FUNCTION relpack.audit_sample(objects integer, bytes bigint)
RETURNS bigint[]
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(taken.zoid), '{}')
    FROM (
        SELECT picked.zoid, sum(object.size) OVER (ORDER BY picked.zoid) - object.size AS before
        FROM (SELECT doomed.zoid FROM relpack.doomed ORDER BY random() LIMIT objects) AS picked
        CROSS JOIN LATERAL (
            SELECT node.size FROM relpack.object AS node WHERE node.zoid = picked.zoid OFFSET 0
        ) AS object
    ) AS taken
    WHERE taken.before < bytes;
$$;

COMMENT ON FUNCTION relpack.audit_sample(integer, bigint) IS
    'Step of "relpack pack": up to so many of the objects chosen for deletion, at random, to be read again before the first of them goes.';
-- +goose StatementEnd

-- sql/audit_tree.sql
-- +goose StatementBegin
-- What relpack.verify_graph() checks for all objects, but for circles, which
-- keep garbage: by index, a node after the other.
CREATE OR REPLACE FUNCTION relpack.audit_tree(first_zoid bigint, last_zoid bigint)
RETURNS TABLE (kind text, zoid bigint)
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
    WITH node AS MATERIALIZED (
        SELECT object.zoid, object.parent
        FROM relpack.object
        WHERE object.zoid BETWEEN first_zoid AND last_zoid
          AND NOT EXISTS (SELECT FROM relpack.suspect)
    )
    SELECT 'parent_without_reference', node.zoid
    FROM node
    WHERE node.parent IS NOT NULL
      AND node.zoid <> 0
      AND NOT EXISTS (SELECT FROM relpack.object_inref AS edge
                      WHERE edge.zoid = node.zoid AND edge.inref = node.parent OFFSET 0)
    UNION ALL
    SELECT 'parent_detached', node.zoid
    FROM node
    WHERE node.parent IS NOT NULL
      AND NOT EXISTS (SELECT FROM relpack.object AS parent
                      WHERE parent.zoid = node.parent AND parent.parent IS NOT NULL OFFSET 0)
    UNION ALL
    SELECT 'live_but_detached', node.zoid
    FROM node
    WHERE node.parent IS NULL
      AND EXISTS (SELECT
                  FROM relpack.object_inref AS edge
                  CROSS JOIN LATERAL (
                      SELECT FROM relpack.object AS referrer
                      WHERE referrer.zoid = edge.inref AND referrer.parent IS NOT NULL OFFSET 0
                  ) AS live
                  WHERE edge.zoid = node.zoid);
$$;

COMMENT ON FUNCTION relpack.audit_tree(bigint, bigint) IS
    'Step of "relpack pack": what is wrong with the tree at the objects of a range of zoids.';
-- +goose StatementEnd

-- sql/audit_whole.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.audit_whole(began timestamptz)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_pack_lock();
    DELETE FROM relpack.audited;
    INSERT INTO relpack.audited (first_zoid, last_zoid, since)
    VALUES (-9223372036854775807, 9223372036854775807, began);
    INSERT INTO relpack.audit DEFAULT VALUES ON CONFLICT DO NOTHING;
    UPDATE relpack.audit SET met = began, difference = NULL;
END;
$$;

COMMENT ON FUNCTION relpack.audit_whole(timestamptz) IS
    'Step of a first build, of "relpack verify" and of "relpack pack": every object has been read again since then, '
    'and the graph made from it or mended.';
-- +goose StatementEnd

-- sql/begin_reshape.sql
-- +goose StatementBegin
-- From here on relpack.reach_step() goes on with relpack.reshape(), and so does the
-- next run after a crash. What is suspected is forgotten: the new parents decide.
CREATE OR REPLACE FUNCTION relpack.begin_reshape(reason text)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE relpack.storage
    SET graph = 'reshaping',
        -- A comparison that is due is due afterwards.
        scan_disturbed = graph = 'doubtful',
        walked_objects = 0,
        doomed_tid = 0;
    DELETE FROM relpack.suspect;
    DELETE FROM relpack.fill_range;
    PERFORM relpack.scratch_clear('relpack.reached');
    RAISE INFO '%: choosing new parents for all objects, from the recorded references', reason;
END;
$$;

COMMENT ON FUNCTION relpack.begin_reshape(text) IS
    'Step of relpack.reach(): has relpack.reshape() choose the parents of all objects.';
-- +goose StatementEnd

-- sql/being_changed.sql
-- +goose StatementBegin
-- Whoever asks what is alive, from psql or by "relpack why", asks this first: in
-- the same snapshot.
CREATE OR REPLACE FUNCTION relpack.being_changed()
RETURNS text
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN storage.graph IS NULL OR storage.graph = 'none'
            THEN 'the graph is not built yet'
        WHEN storage.graph = 'reshaping'
            THEN 'the graph is being changed: new parents are being chosen for all objects'
        WHEN storage.graph NOT IN ('current', 'doubtful')
            THEN 'the graph is being changed: it is being built'
        WHEN storage.resettle OR EXISTS (SELECT FROM relpack.suspect)
            THEN 'the graph is being changed: the reachability of some objects is not settled yet'
        END
    FROM (SELECT) AS one
    LEFT JOIN relpack.storage ON true;
$$;

COMMENT ON FUNCTION relpack.being_changed() IS
    'Why nobody can tell at the moment which objects are reachable: the graph is not built, is being built, or a pack '
    'is at work on it or was interrupted. NULL: it is settled.';
-- +goose StatementEnd

-- sql/blob_bytes.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.blob_bytes(zoids bigint[], OUT zoid bigint, OUT bytes bigint)
RETURNS SETOF record
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_history boolean := relpack.keeps_history();
    v_tids bigint[];
    v_chunks oid[];
BEGIN
    IF NOT coalesce(has_table_privilege(to_regclass('public.blob_chunk'), 'SELECT'), false) THEN
        RETURN;
    END IF;
    IF v_history THEN
        v_tids := ARRAY(
            SELECT (SELECT current_object.tid FROM public.current_object WHERE current_object.zoid = asked.zoid)
            FROM unnest(zoids) WITH ORDINALITY AS asked (zoid, position)
            ORDER BY asked.position);
    END IF;
    FOR zoid, v_chunks IN
        SELECT asked.zoid, array_agg(known.oid)
        FROM unnest(zoids, v_tids) AS asked (zoid, tid)
        CROSS JOIN LATERAL (
            SELECT blob_chunk.chunk
            FROM public.blob_chunk
            WHERE blob_chunk.zoid = asked.zoid AND (blob_chunk.tid = asked.tid OR NOT v_history)
            OFFSET 0
        ) AS kept
        CROSS JOIN LATERAL (
            SELECT oid FROM pg_largeobject_metadata WHERE oid = kept.chunk OFFSET 0
        ) AS known
        GROUP BY asked.zoid
    LOOP
        bytes := relpack.large_object_bytes(v_chunks);
        RETURN NEXT;
    END LOOP;
END;
$$;

COMMENT ON FUNCTION relpack.blob_bytes(bigint[]) IS
    'How many bytes the large objects of these blobs have, as blob_chunk names them; '
    'in a history-preserving storage those of their current revisions. '
    'NULL where this role may not read one of them; no row for a blob without any.';
-- +goose StatementEnd

-- sql/blobs_awaited.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.blobs_awaited(OUT blobs bigint, OUT client text)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_oldest timestamptz := coalesce(relpack.grace_oldest_transaction(), 'infinity');
BEGIN
    blobs := (SELECT count(*) FROM relpack.blob_removal WHERE (since < v_oldest) IS NOT TRUE AND missed IS NULL);
    IF blobs > 0 THEN
        client := relpack.oldest_client();
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.blobs_awaited() IS
    'How many rows of relpack.blob_removal in a history-preserving storage wait for the end of transactions that may still '
    'read the files, but for those that were missed, and the client whose transaction is open for longest. '
    'Raises RP002 where that can''t be seen.';
-- +goose StatementEnd

-- sql/blobs_due.sql
-- +goose StatementBegin
-- As relpack.blobs_next() decides, but for transactions that are open now.
CREATE OR REPLACE FUNCTION relpack.blobs_due(
    after_zoid bigint, after_tid bigint, batch integer,
    OUT zoid bigint, OUT tid bigint, OUT missed boolean)
RETURNS SETOF record
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_history boolean;
BEGIN
    PERFORM relpack.lock_storage();
    v_history := relpack.keeps_history();
    RETURN QUERY
    SELECT removal.zoid, removal.tid, removal.missed IS NOT NULL
    FROM relpack.blob_removal AS removal
    WHERE (removal.zoid, removal.tid) > (after_zoid, after_tid)
      AND NOT EXISTS (
          SELECT
          FROM relpack.stored()
          WHERE stored.zoid = removal.zoid AND (stored.tid = removal.tid OR NOT v_history)
          OFFSET 0)
      AND (NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = removal.zoid AND object.parent IS NOT NULL OFFSET 0)
           OR (v_history AND EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = removal.zoid OFFSET 0)))
    ORDER BY removal.zoid, removal.tid
    LIMIT batch;
END;
$$;

COMMENT ON FUNCTION relpack.blobs_due(bigint, bigint, integer) IS
    'For a dry run: the next blobs of relpack.blob_removal whose files the next pack removes, unless a transaction is open '
    'then that may still read them. missed: their files were not there before.';
-- +goose StatementEnd

-- sql/blobs_going.sql
-- +goose StatementBegin
-- For a dry run: what relpack.trim_delete() and the sweep, with RelStorage's trigger on
-- blob_chunk, would do. Large objects of two revisions of an object, as an undo leaves
-- them, go with the later one, and not at all if a trim keeps one of them. The large
-- objects of an object are read once in each call, however many revisions it has.
CREATE OR REPLACE FUNCTION relpack.blobs_going(
    zoids bigint[], tids bigint[], until_tid bigint,
    OUT zoid bigint, OUT tid bigint, OUT file boolean, OUT large bigint, OUT bytes bigint)
RETURNS SETOF record
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_mergejoin = off
AS $$
DECLARE
    v_history boolean := relpack.keeps_history();
    v_chunks boolean := false;
    v_large oid[];
BEGIN
    PERFORM relpack.lock_storage();
    IF to_regclass('public.blob_chunk') IS NOT NULL THEN
        v_chunks := EXISTS (SELECT FROM public.blob_chunk);
    END IF;
    IF NOT v_chunks THEN
        large := 0;
        bytes := 0;
        RETURN QUERY
        SELECT stored.zoid, stored.tid, true, large, bytes
        FROM relpack.blobs_stored(zoids, tids) AS stored
        WHERE stored.file;
        RETURN;
    END IF;
    FOR zoid, tid, file, v_large IN
        WITH chunk AS MATERIALIZED (
            SELECT own.zoid, own.tid, own.chunk, max(own.tid) OVER shared AS last, min(own.tid) OVER shared AS first
            FROM (SELECT DISTINCT unnest(zoids) AS zoid) AS object
            CROSS JOIN LATERAL (
                SELECT blob_chunk.zoid, blob_chunk.tid, blob_chunk.chunk
                FROM public.blob_chunk
                WHERE blob_chunk.zoid = object.zoid
                OFFSET 0
            ) AS own
            WINDOW shared AS (PARTITION BY own.zoid, own.chunk)
        ), kept AS MATERIALIZED (
            SELECT object.zoid, kept.tid
            FROM (SELECT DISTINCT chunk.zoid FROM chunk WHERE chunk.first < chunk.last AND v_history AND until_tid IS NOT NULL) AS object
            CROSS JOIN LATERAL relpack.trim_kept(object.zoid, until_tid) AS kept (tid)
        ), held AS MATERIALIZED (
            SELECT chunk.zoid, chunk.chunk
            FROM chunk
            WHERE chunk.first < chunk.last AND ((chunk.zoid, chunk.tid) IN (SELECT kept.zoid, kept.tid FROM kept)) IS TRUE
        ), own AS MATERIALIZED (
            SELECT chunk.zoid, CASE WHEN v_history THEN chunk.tid END AS tid,
                   array_agg(DISTINCT known.oid) FILTER (
                       WHERE known.oid IS NOT NULL
                         AND (NOT v_history
                              OR chunk.tid = chunk.last
                                 AND ((chunk.zoid, chunk.chunk) IN (SELECT held.zoid, held.chunk FROM held)) IS NOT TRUE)) AS large
            FROM chunk
            LEFT JOIN LATERAL (
                SELECT metadata.oid FROM pg_largeobject_metadata AS metadata WHERE metadata.oid = chunk.chunk OFFSET 0
            ) AS known ON true
            WHERE NOT v_history
               OR ((chunk.zoid, chunk.tid) IN (SELECT asked.zoid, asked.tid FROM unnest(zoids, tids) AS asked (zoid, tid))) IS TRUE
            GROUP BY 1, 2
        )
        SELECT stored.zoid, stored.tid,
               stored.file AND (own.zoid IS NULL OR NOT v_history), -- in the database there is no file
               own.large
        FROM relpack.blobs_stored(zoids, tids) AS stored
        LEFT JOIN own ON own.zoid = stored.zoid AND (own.tid = stored.tid) IS NOT FALSE
    LOOP
        large := coalesce(cardinality(v_large), 0);
        bytes := CASE WHEN large > 0 THEN relpack.large_object_bytes(v_large) ELSE 0 END;
        IF file OR large > 0 THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END;
$$;

COMMENT ON FUNCTION relpack.blobs_going(bigint[], bigint[], bigint) IS
    'What goes besides with these revisions, which a pack is to delete: a file, if there is one, and large objects. '
    'until_tid: of a trim up to this; NULL: all of the object goes. large, bytes: how many large objects, and their length, '
    'NULL where this role may not read one. For objects of a history-free storage whose class is that of blobs, or not known.';
-- +goose StatementEnd

-- sql/blobs_in_database.sql
-- +goose StatementBegin
-- A configuration that says nothing of shared-blob-dir leaves open where blobs
-- are. Looked at before a deletion, which takes the chunks along.
CREATE OR REPLACE FUNCTION relpack.blobs_in_database()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_stored bigint;
    v_kept bigint;
BEGIN
    -- In two statements: without the table the second can't be planned.
    IF to_regclass('public.blob_chunk') IS NULL THEN
        RETURN false;
    END IF;
    -- Where blobs are rare, to find some would have all objects read.
    IF NOT EXISTS (SELECT FROM public.blob_chunk) THEN
        RETURN false;
    END IF;
    -- A storage whose blobs were moved into files may still have old chunks.
    SELECT count(*), count(*) FILTER (WHERE EXISTS (
        SELECT
        FROM public.blob_chunk
        WHERE blob_chunk.zoid = sampled.zoid AND blob_chunk.tid = sampled.tid))
    INTO v_stored, v_kept
    FROM (
        (SELECT detached.zoid, detached.tid
         FROM relpack.detached
         WHERE detached.class = 1
           AND NOT EXISTS (
               SELECT
               FROM relpack.stored()
               WHERE stored.zoid = detached.zoid AND stored.tid BETWEEN detached.tid AND detached.tid AND stored.state IS NULL
               OFFSET 0)
         LIMIT 100)
        UNION ALL
        SELECT live.zoid, live.tid FROM relpack.live_blobs() AS live
    ) AS sampled;
    RETURN v_stored > 0 AND v_kept = v_stored;
END;
$$;

COMMENT ON FUNCTION relpack.blobs_in_database() IS
    'Whether blobs are kept in the database: all of some reachable and some unreachable blobs have their chunks in blob_chunk.';
-- +goose StatementEnd

-- sql/blobs_judge.sql
-- +goose StatementBegin
-- What is to be said of files in a blob directory, by the rows and the graph. Only
-- a file whose object has a later revision, or is not stored at all, may be one
-- that nobody needs. A file of an object that others refer to although its row
-- vanished is needed when the row is put back; garbage that refers to it may be attached
-- again until a pack deletes it. Which ones other databases refer to is not known, only
-- whether they do. Where a row vanished since the last capture, or another revision is
-- listed and was not missed yet, a pack has to decide first. Later tids than those stored come
-- with an older backup, or from another storage; from another one comes a file of
-- an object that is no blob, or of an oid that was never given out here. Where the
-- rows were replaced, the former ones may come back: a load into the wrong storage is
-- noticed within a month. What was superseded before the directory was last cleared
-- did not lie there then; of files of objects that are gone that is not known. A tid
-- of the future is no measure of others. In a history-preserving storage a revision needs
-- its file as long as it has a row, or as an undo would look for the row. Each look is one
-- by a key, whatever is guessed of how many rows there are: it may be made while writers
-- wait.
CREATE OR REPLACE FUNCTION relpack.blobs_judge(
    zoids bigint[], tids bigint[], cleared bigint, named_after bigint DEFAULT 0,
    OUT zoid bigint, OUT tid bigint, OUT verdict text, OUT since bigint)
RETURNS SETOF record
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
AS $$
DECLARE
    v_now bigint := relpack.time_to_tid(clock_timestamp());
    v_highest bigint;
    v_history boolean;
    v_settled boolean;
    v_replaced bigint;
    v_given bigint;
    v_sequence oid := (SELECT oid FROM pg_class WHERE oid = to_regclass('public.zoid_seq') AND relkind = 'S');
    v_referred boolean := EXISTS (SELECT FROM relpack.referred_by WHERE refs > 0 OR unreadable > 0 OR looked IS NULL);
BEGIN
    PERFORM relpack.lock_storage();
    v_history := relpack.keeps_history();
    SELECT storage.graph = 'current' AND NOT EXISTS (SELECT FROM relpack.suspect),
           CASE WHEN storage.replaced > clock_timestamp() - interval '30 days' THEN relpack.time_to_tid(storage.replaced) ELSE 0 END
    INTO STRICT v_settled, v_replaced
    FROM relpack.storage;
    v_highest := (SELECT max(newest.tid) FROM relpack.stored() AS newest WHERE newest.tid <= v_now);
    IF has_sequence_privilege(v_sequence, 'USAGE') OR has_sequence_privilege(v_sequence, 'SELECT') THEN
        -- RelStorage takes 16 oids for each value (relstorage/adapters/oidallocator.py).
        v_given := pg_sequence_last_value(v_sequence) * 16;
    END IF;
    RETURN QUERY
    SELECT file.zoid, file.tid,
           CASE
           WHEN stored.tid = file.tid THEN 'stored'
           WHEN v_highest IS NULL OR file.tid > v_highest THEN 'above'
           WHEN stored.tid < file.tid THEN 'newer'
           WHEN stored.tid > file.tid THEN
               CASE
               WHEN v_history AND EXISTS (
                   SELECT FROM relpack.blob_removal AS removal WHERE removal.zoid = file.zoid AND removal.tid = file.tid) THEN 'listed'
               WHEN object.blob IS NULL THEN 'unjudged'
               WHEN NOT object.blob THEN 'foreign'
               WHEN file.tid <= v_replaced THEN 'replaced'
               WHEN ((file.zoid, file.tid) IN (
                   SELECT named.zoid, named.tid
                   FROM relpack.blobs_named(zoids, tids, named_after) AS named
                   WHERE v_history)) IS TRUE THEN 'missing'
               WHEN v_history THEN 'unnamed'
               WHEN stored.tid <= cleared THEN 'arrived'
               ELSE 'superseded'
               END
           WHEN EXISTS (SELECT FROM relpack.object_inref WHERE object_inref.zoid = file.zoid) THEN 'missing'
           WHEN (
               SELECT true
               FROM relpack.blob_removal AS removal
               WHERE removal.zoid = file.zoid AND removal.tid = file.tid) THEN 'listed'
           WHEN file.zoid > v_given THEN 'beyond'
           WHEN NOT v_settled
                OR EXISTS (SELECT FROM relpack.object AS node WHERE node.zoid = file.zoid)
                OR EXISTS (
                    SELECT FROM relpack.blob_removal AS removal WHERE removal.zoid = file.zoid AND removal.missed IS NULL) THEN 'unjudged'
           WHEN v_referred THEN 'referred'
           WHEN file.tid <= v_replaced THEN 'replaced'
           ELSE 'gone'
           END,
           coalesce(stored.tid, file.tid)
    FROM unnest(zoids, tids) AS file (zoid, tid)
    -- Of several revisions the one that is named, the next one, or else the newest.
    CROSS JOIN LATERAL (
        SELECT coalesce(
            (SELECT min(later.tid) FROM relpack.stored() AS later WHERE later.zoid = file.zoid AND later.tid >= file.tid),
            (SELECT max(latest.tid) FROM relpack.stored() AS latest WHERE latest.zoid = file.zoid)) AS tid
        OFFSET 0
    ) AS stored
    -- Where garbage stays there is no graph.
    CROSS JOIN LATERAL (
        SELECT coalesce(
            (SELECT node.class = 1 FROM relpack.object AS node WHERE node.zoid = file.zoid AND v_settled),
            (SELECT relpack.names_blob(next.state)
             FROM relpack.stored() AS next
             WHERE next.zoid = file.zoid AND next.tid BETWEEN stored.tid AND stored.tid AND v_history)) AS blob
        OFFSET 0
    ) AS object;
END;
$$;

COMMENT ON FUNCTION relpack.blobs_judge(bigint[], bigint[], bigint, bigint) IS
    'What is to be said of the files of these revisions of blobs. '
    'cleared: up to which tid superseded revisions were removed before (relpack.blobs_mark); 0: never. '
    'named_after: undos of later transactions only are asked about (missing). verdict: '
    'stored: the row has this tid; superseded: the row has a later one, since; unnamed: in a history-preserving storage, no '
    'row has this tid, but one a later one, since; gone: there is no row, and since is its own tid; '
    'unjudged: a pack has to look first; foreign: the object is no blob; '
    'referred: there is no row, but other databases refer to this one, or may; '
    'missing: there is none, but objects refer to it, or in a history-preserving storage an undo would look for it; '
    'listed: in relpack.blob_removal; '
    'replaced: superseded or gone, but written before object_state was last replaced, within 30 days; '
    'arrived: superseded up to cleared; '
    'beyond: there is no row, and RelStorage has not given out the object id (zoid_seq); '
    'newer: the row has an earlier tid; above: no row that is not of the future is as late.';
-- +goose StatementEnd

-- sql/blobs_listed.sql
-- +goose StatementBegin
-- Who begins from here on saw nothing of what a list says, if nobody puts a row back. The
-- clock may have been set back: who is there now has begun before. A capture takes the
-- events that tell of rows that were put back, and leaves another row version.
CREATE OR REPLACE FUNCTION relpack.blobs_listed(OUT listed timestamptz, OUT version text)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_pack_lock();
    PERFORM pg_stat_clear_snapshot();
    listed := greatest(clock_timestamp(), (SELECT max(xact_start) FROM pg_stat_activity WHERE datname = current_database()));
    version := (SELECT storage.xmin::text FROM relpack.storage);
END;
$$;

COMMENT ON FUNCTION relpack.blobs_listed() IS
    'For relpack.blobs_orphaned(): when files were judged, for the first time, after the last capture. '
    'listed: no transaction that begins from here on began before; version: of the row of relpack.storage.';
-- +goose StatementEnd

-- sql/blobs_mark.sql
-- +goose StatementBegin
-- The mark allows nothing: it keeps a second database from a directory that one has
-- cleared, and files that came there later, of old tids, from being taken for
-- leftovers. Two servers of which one may not see the system identifier could say the
-- same of themselves. What is committed later has a tid above the watermark, by whatever
-- clock; it may be below what the clock said, which was ahead, or is the server's, not the
-- client's.
CREATE OR REPLACE FUNCTION relpack.blobs_mark(cleared bigint)
RETURNS jsonb
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT has_function_privilege('pg_control_system()', 'EXECUTE') THEN
        RAISE EXCEPTION 'role % may not see the system identifier of the server, which tells it from others', current_user
            USING ERRCODE = 'RP002',
                  HINT = format('Let a superuser run: GRANT EXECUTE ON FUNCTION pg_control_system() TO %I;', current_user);
    END IF;
    RETURN jsonb_build_object(
        'about', 'Written by "relpack blobs --remove": this database has cleared the directory.',
        'database', current_database(),
        'origin', relpack.origin(),
        'timeline', relpack.timeline(),
        'removed', clock_timestamp(),
        'cleared', least(cleared, (SELECT watermark FROM relpack.storage)));
END;
$$;

COMMENT ON FUNCTION relpack.blobs_mark(bigint) IS
    'The file .relpack in a blob directory: which database has cleared it, when, and up to which tid all '
    'superseded revisions are removed (cleared; 0: not all was tried yet), at most up to what was captured.';
-- +goose StatementEnd

-- sql/blobs_named.sql
-- +goose StatementBegin
-- A transaction that can be undone names what was before it. Where that has vanished, an
-- undo needs the row, and copies its file: both may be put back until the transaction is
-- packed. Each look is one by a key.
CREATE OR REPLACE FUNCTION relpack.blobs_named(zoids bigint[], tids bigint[], after_tid bigint, OUT zoid bigint, OUT tid bigint)
RETURNS SETOF record
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
BEGIN
    RETURN QUERY
    SELECT DISTINCT named.zoid, named.tid
    FROM relpack.trim_named(zoids, tids, after_tid) AS named
    WHERE (SELECT wrote.packed FROM public.transaction AS wrote WHERE wrote.tid = named.named_by) IS NOT TRUE;
END;
$$;

COMMENT ON FUNCTION relpack.blobs_named(bigint[], bigint[], bigint) IS
    'Which of these revisions of a history-preserving storage are named as their predecessor by stored ones later '
    'than after_tid whose transaction can be undone.';
-- +goose StatementEnd

-- sql/blobs_next.sql
-- +goose StatementBegin
-- Blob files go while no writer is in flight, a few at a time. An object that
-- is stored again keeps them all: somebody restored it, or a RelStorage up to
-- 2.0 wrote it, whose commits delete a row and insert it again. The file of a
-- node that is attached stays: a live object refers to it, and the row may be put
-- back. In a history-preserving storage each revision counts for itself: one that is
-- stored again keeps its file, and so does one that an open transaction may have seen;
-- who begins from here on sees none of it. object_state comes before the writers' lock,
-- as for everybody who writes: whoever wants the table for himself and then writes
-- (TRUNCATE) would wait for us, and we for him. Without our triggers writers don't take
-- the writers' lock: they are not switched on or off while we hold the table. Where they were
-- since relpack.blobs_stamp(), a row may have been there that somebody saw.
CREATE OR REPLACE FUNCTION relpack.blobs_next(
    zoids bigint[], tids bigint[],
    OUT zoid bigint, OUT tid bigint, OUT newest_zoid bigint)
RETURNS SETOF record
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
AS $$
DECLARE
    v_history boolean;
    v_oldest timestamptz;
BEGIN
    PERFORM relpack.require_pack_lock();
    PERFORM relpack.lock_storage();
    LOCK TABLE public.object_state IN ROW EXCLUSIVE MODE;
    v_history := relpack.keeps_history();
    IF v_history THEN
        v_oldest := coalesce(relpack.grace_oldest_transaction(), 'infinity');
    END IF;
    IF NOT relpack.try_writers_lock() THEN
        RAISE EXCEPTION 'writers are in the way' USING ERRCODE = 'lock_not_available';
    END IF;
    IF EXISTS (SELECT FROM relpack.missing_trigger()) THEN
        RAISE EXCEPTION 'triggers of relpack are missing or disabled: %: a row may be put back whose file is to go',
                        (SELECT string_agg(name, ', ') FROM relpack.missing_trigger() AS gone (name))
            USING ERRCODE = 'RP002', HINT = 'Run "relpack migrate up".';
    END IF;
    IF v_history AND (SELECT stamped_triggers FROM relpack.storage) NOT IN ('', relpack.trigger_identity()) THEN
        RAISE EXCEPTION 'relpack''s triggers or its schema were changed a moment ago: who has seen blobs meanwhile is not known'
            USING ERRCODE = 'RP002', HINT = 'No file was removed. Run "relpack pack" again.';
    END IF;
    -- The files are unlinked before this transaction ends: a client that stops
    -- there must not hold the site, nor a standby that does not answer. What
    -- this transaction says is only that files are gone.
    PERFORM set_config('idle_in_transaction_session_timeout', '2s', true),
            set_config('synchronous_commit', 'local', true);
    IF v_history THEN
        DELETE FROM relpack.blob_removal AS removal
        USING unnest(zoids, tids) AS listed (zoid, tid), relpack.stored()
        WHERE removal.zoid = listed.zoid AND removal.tid = listed.tid
          AND stored.zoid = listed.zoid AND stored.tid BETWEEN listed.tid AND listed.tid;
    ELSE
        DELETE FROM relpack.blob_removal AS removal
        USING unnest(zoids) AS listed (zoid), relpack.stored()
        WHERE removal.zoid = listed.zoid AND stored.zoid = listed.zoid;
    END IF;
    RETURN QUERY
    SELECT removal.zoid, removal.tid, (SELECT max(newest.zoid) FROM relpack.stored() AS newest)
    FROM unnest(zoids, tids) AS listed (zoid, tid)
    JOIN relpack.blob_removal AS removal ON removal.zoid = listed.zoid AND removal.tid = listed.tid
    WHERE (NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = removal.zoid AND object.parent IS NOT NULL)
           OR (v_history AND EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = removal.zoid)))
      AND (NOT v_history OR removal.since < v_oldest)
    ORDER BY removal.zoid, removal.tid;
END;
$$;

COMMENT ON FUNCTION relpack.blobs_next(bigint[], bigint[]) IS
    'Which of these blobs of relpack.blob_removal may lose their files. '
    'Takes the writers'' lock until the transaction ends, which commits locally, or raises lock_not_available. '
    'Rows whose object is stored again are dropped, those whose object a live one refers to are left out; in a '
    'history-preserving storage rows whose revision is stored again, and those that an open transaction may still read '
    '(relpack.blobs_stamp), or whose object has no revision left though a live one refers to it. '
    'relpack.blobs_removed() follows in the same transaction.';
-- +goose StatementEnd

-- sql/blobs_not_found.sql
-- +goose StatementBegin
-- Not found is not removed: the directory may be another one, laid out
-- otherwise, or not mounted. It is trusted where the file of a live blob lies
-- where it should, or where there is no live blob to look for. What is not there then may
-- come back all the same, with a part of the directory that is a mount of its own, and
-- stays listed. zodbpack removes its files itself, and a pack may be killed between a file
-- and its commit: without an end the list would grow for ever.
CREATE OR REPLACE FUNCTION relpack.blobs_not_found(
    zoids bigint[], tids bigint[], found_zoids bigint[], found_tids bigint[])
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
AS $$
DECLARE
    v_struck bigint;
BEGIN
    PERFORM relpack.require_pack_lock();
    LOCK TABLE public.object_state IN ACCESS SHARE MODE;
    IF cardinality(found_zoids) = 0 THEN
        IF EXISTS (SELECT FROM relpack.live_blobs(1)) THEN
            RETURN 0;
        END IF;
    ELSIF relpack.keeps_history() THEN
        IF NOT EXISTS (
            SELECT
            FROM unnest(found_zoids, found_tids) AS found (zoid, tid)
            JOIN relpack.current_blobs(found_zoids) AS known ON known.zoid = found.zoid AND known.tid = found.tid) THEN
            RETURN 0;
        END IF;
    ELSIF NOT EXISTS (
        SELECT
        FROM unnest(found_zoids, found_tids) AS found (zoid, tid)
        JOIN relpack.stored() ON stored.zoid = found.zoid AND stored.tid BETWEEN found.tid AND found.tid
        JOIN relpack.object ON object.zoid = found.zoid
        WHERE object.class = 1 AND object.parent IS NOT NULL) THEN
        RETURN 0;
    END IF;
    UPDATE relpack.blob_removal AS removal
    SET missed = clock_timestamp()
    FROM unnest(zoids, tids) AS gone (zoid, tid)
    WHERE removal.zoid = gone.zoid AND removal.tid = gone.tid AND removal.missed IS NULL;
    DELETE FROM relpack.blob_removal AS removal
    USING unnest(zoids, tids) AS gone (zoid, tid)
    WHERE removal.zoid = gone.zoid AND removal.tid = gone.tid AND removal.missed < clock_timestamp() - interval '30 days';
    GET DIAGNOSTICS v_struck = ROW_COUNT;
    RETURN v_struck;
END;
$$;

COMMENT ON FUNCTION relpack.blobs_not_found(bigint[], bigint[], bigint[], bigint[]) IS
    'Notes in relpack.blob_removal that the files of these blobs are not in the blob directory, and strikes off what was '
    'missed for 30 days: only if one of those found '
    'there is a reachable blob as it is stored now, or if none was found and no blob is reachable. '
    'Returns how many rows were struck off.';
-- +goose StatementEnd

-- sql/blobs_orphaned.sql
-- +goose StatementBegin
-- As relpack.blobs_next(), for files that no list names: what was judged before is
-- judged again while no writer is in flight, and goes only if the answer is the same.
-- What a stored revision superseded goes, whose file shows that directory and database
-- belong together. Rows that are gone come back with a backup, with another timeline, from
-- a copy: their files would not. So files of objects that are gone go only if somebody
-- says so, who calls them gone, and if no row is known to be lost. Of a stored revision a
-- second file goes, in the layout that the directory has not.
-- In a history-preserving storage that is a file of a revision without a row. When its
-- row went nobody knows, and undo copies the files of those that have one. Who has an
-- older snapshot may read it still, and who began while a row was put back and deleted
-- again: what was put back since the last capture is an event, up to the watermark.
-- What an undo would look for is found out before the writers' lock is taken, of a long
-- history: what was written up to the watermark meanwhile is an event, and later
-- revisions are few.
-- An hour is what a vote, or an asynchronous standby that takes over, may be behind.
CREATE OR REPLACE FUNCTION relpack.blobs_orphaned(
    zoids bigint[], tids bigint[], sinces bigint[], kinds text[], until bigint, mark jsonb, listed timestamptz, version text,
    given_up bigint DEFAULT 0,
    OUT zoid bigint, OUT tid bigint, OUT kind text, OUT newest_zoid bigint)
RETURNS SETOF record
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $$
DECLARE
    v_history boolean;
    v_watermark bigint;
    v_oldest timestamptz;
    v_reported bigint[];
    v_seen bigint := (SELECT storage.watermark FROM relpack.storage);
    v_named_zoids bigint[];
    v_named_tids bigint[];
BEGIN
    PERFORM relpack.require_pack_lock();
    PERFORM relpack.lock_storage();
    LOCK TABLE public.object_state IN ROW EXCLUSIVE MODE; -- our triggers stay as they are
    PERFORM relpack.require_settled();
    PERFORM relpack.require_blobs_mark(mark);
    IF 'gone' = ANY (kinds) THEN
        PERFORM relpack.require_none_missing(given_up);
    END IF;
    v_history := relpack.keeps_history();
    v_oldest := coalesce(relpack.grace_oldest_transaction(), 'infinity');
    IF v_history THEN
        SELECT array_agg(named.zoid), array_agg(named.tid)
        INTO v_named_zoids, v_named_tids
        FROM relpack.blobs_named(zoids, tids, 0) AS named;
    END IF;
    IF NOT relpack.try_writers_lock() THEN
        RAISE EXCEPTION 'writers are in the way' USING ERRCODE = 'lock_not_available';
    END IF;
    SELECT storage.watermark INTO v_watermark FROM relpack.storage WHERE storage.xmin::text = version AND storage.watermark = v_seen;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'relpack has looked at the storage since the files were listed'
            USING ERRCODE = 'RP002', HINT = 'Run "relpack blobs --remove" again.';
    END IF;
    IF EXISTS (SELECT FROM relpack.write_event AS event WHERE event.kind = 'truncated') THEN
        RAISE EXCEPTION 'object_state was emptied' USING ERRCODE = 'RP002', HINT = 'Run "relpack pack".';
    END IF;
    -- All of them are looked at each time, while nobody writes.
    IF EXISTS (SELECT FROM relpack.write_event OFFSET 100000) THEN
        RAISE EXCEPTION 'many rows were put back since the files were listed'
            USING ERRCODE = 'RP002', HINT = 'Wait for the end of zodbconvert, or of a restore, and run "relpack pack".';
    END IF;
    v_reported := ARRAY(SELECT event.zoid FROM relpack.write_event AS event WHERE event.kind <> 'ahead' AND event.zoid = ANY (zoids));
    -- The files are unlinked before this transaction ends: see relpack.blobs_next().
    PERFORM set_config('idle_in_transaction_session_timeout', '2s', true),
            set_config('synchronous_commit', 'local', true);
    RETURN QUERY
    SELECT judged.zoid, judged.tid, file.kind, (SELECT max(newest.zoid) FROM relpack.stored() AS newest)
    FROM relpack.blobs_judge(zoids, tids, (mark ->> 'cleared')::bigint, v_seen) AS judged
    JOIN unnest(zoids, tids, sinces, kinds) AS file (zoid, tid, since, kind)
      ON file.zoid = judged.zoid AND file.tid = judged.tid AND file.since = judged.since
     AND file.kind = CASE judged.verdict WHEN 'stored' THEN 'duplicate' ELSE judged.verdict END
    WHERE judged.since <= until
      AND judged.since <= relpack.time_to_tid(clock_timestamp() - interval '1 hour')
      AND judged.since <= v_watermark
      AND file.kind IN (CASE WHEN v_history THEN 'unnamed' ELSE 'superseded' END, 'duplicate', 'gone')
      AND judged.zoid <> ALL (v_reported)
      AND (file.kind = 'duplicate'
           OR NOT EXISTS (
               SELECT
               FROM unnest(v_named_zoids, v_named_tids) AS named (zoid, tid)
               WHERE named.zoid = judged.zoid AND named.tid = judged.tid))
      AND listed < v_oldest;
END;
$$;

COMMENT ON FUNCTION relpack.blobs_orphaned(bigint[], bigint[], bigint[], text[], bigint, jsonb, timestamptz, text, bigint) IS
    'Which of these revisions of blobs may lose their files, if that of the stored one is beside them. '
    'They are superseded, or have no row in a history-preserving storage, or are stored and have another file where the '
    'directory''s layout has it (duplicate), or, if somebody says that no such row will be put back, their objects are gone. '
    'Their since is at most until, was an hour ago at least, and before the last capture; '
    'since and kind, its verdict, are still what relpack.blobs_judge() said before. mark: the file .relpack in the directory. '
    'listed, version: what relpack.blobs_listed() said after that. None goes if a transaction is open that began before, nor '
    'one of an object that an event names since; RP002 if relpack has captured changes since, and for what is gone as '
    'relpack.require_none_missing(given_up) says. newest_zoid: the highest one that is stored. '
    'Takes the writers'' lock until the transaction ends, which commits locally, or raises lock_not_available. '
    'Their files may go until then.';
-- +goose StatementEnd

-- sql/blobs_removed.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.blobs_removed(zoids bigint[], tids bigint[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
AS $$
BEGIN
    PERFORM relpack.require_pack_lock();
    DELETE FROM relpack.blob_removal AS removal
    USING unnest(zoids, tids) AS removed (zoid, tid)
    WHERE removal.zoid = removed.zoid AND removal.tid = removed.tid;
END;
$$;

COMMENT ON FUNCTION relpack.blobs_removed(bigint[], bigint[]) IS
    'Strikes blobs off relpack.blob_removal whose files were found and removed.';
-- +goose StatementEnd

-- sql/blobs_stamp.sql
-- +goose StatementBegin
-- Historical connections keep a transaction open for hours and read what is removed
-- meanwhile. Who began after a removal was committed sees none of it; that is a later
-- time than the one when the row was deleted. The clock may have been set back since: who
-- is there now has begun before. While our triggers were off, nobody noted that a row was
-- put back, seen and deleted once more (relpack.trigger_delete()): then all wait anew. What
-- is stored has not been removed: who deletes it may have begun already, and see no time yet
-- that he had to take back.
CREATE OR REPLACE FUNCTION relpack.blobs_stamp()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $$
DECLARE
    v_begun timestamptz;
    v_triggers text;
BEGIN
    IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
        RAISE EXCEPTION 'this transaction has written: what it removed is not committed yet'
            USING ERRCODE = 'RP002', HINT = 'Call relpack.blobs_stamp() in a transaction of its own.';
    END IF;
    PERFORM relpack.require_pack_lock(history => true);
    -- Asked first: what is done to them from here on, relpack.blobs_next() finds out.
    v_triggers := relpack.trigger_identity();
    IF (SELECT stamped_triggers FROM relpack.storage) IS DISTINCT FROM v_triggers THEN
        UPDATE relpack.blob_removal SET since = NULL WHERE since IS NOT NULL;
        UPDATE relpack.storage SET stamped_triggers = v_triggers;
    END IF;
    PERFORM pg_stat_clear_snapshot();
    v_begun := (SELECT max(xact_start) FROM pg_stat_activity WHERE datname = current_database());
    UPDATE relpack.blob_removal AS removal
    SET since = greatest(clock_timestamp(), v_begun)
    WHERE removal.since IS NULL
      AND NOT EXISTS (
          SELECT FROM relpack.stored()
          WHERE stored.zoid = removal.zoid AND stored.tid BETWEEN removal.tid AND removal.tid
          OFFSET 0);
END;
$$;

COMMENT ON FUNCTION relpack.blobs_stamp() IS
    'Notes that what is listed in relpack.blob_removal of a history-preserving storage was removed before now. '
    'Where relpack''s triggers were off since, it notes that of all anew. relpack.blobs_next() lets files go that no open '
    'transaction can have seen. Raises RP002 in a transaction that has written, lock_not_available where somebody deletes what '
    'is listed.';
-- +goose StatementEnd

-- sql/blobs_stored.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.blobs_stored(zoids bigint[], tids bigint[], OUT zoid bigint, OUT tid bigint, OUT file boolean)
RETURNS SETOF record
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_history boolean := relpack.keeps_history();
BEGIN
    RETURN QUERY
    SELECT stored.zoid, stored.tid, stored.file
    FROM unnest(zoids, tids) AS asked (zoid, tid)
    CROSS JOIN LATERAL (
        SELECT found.zoid, found.tid,
               CASE
               WHEN v_history THEN
                   position('ZODB.blob'::bytea IN substring(found.state FROM 1 FOR 24)) > 0
                   OR (substring(found.state FROM 1 FOR 1) = '.' AND substring(found.state FROM 1 FOR 2) <> '.z'
                       AND octet_length(found.state) < 300)
               ELSE true
               END IS TRUE AS file
        FROM relpack.stored() AS found
        WHERE found.zoid = asked.zoid AND found.tid BETWEEN asked.tid AND asked.tid
        OFFSET 0
    ) AS stored;
END;
$$;

COMMENT ON FUNCTION relpack.blobs_stored(bigint[], bigint[]) IS
    'Step of relpack.blobs_going(): those of these revisions that are stored. file: it may have one, as relpack.trim_delete() '
    'decides; of a history-free storage only blobs are asked for.';
-- +goose StatementEnd

-- sql/broken_blobs.sql
-- +goose StatementBegin
-- As relpack.set_aside_blobs(), for blobs that are alive: their content is gone. Those
-- that were attached since the last pack only a client knows.
CREATE OR REPLACE FUNCTION relpack.broken_blobs(attached bigint[] DEFAULT '{}')
RETURNS SETOF bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
AS $$
BEGIN
    IF coalesce(has_table_privilege(to_regclass('public.blob_chunk'), 'SELECT'), false) THEN
        RETURN QUERY
        SELECT DISTINCT blob_chunk.zoid
        FROM public.blob_chunk
        LEFT JOIN pg_largeobject_metadata AS known ON known.oid = blob_chunk.chunk
        LEFT JOIN relpack.object ON object.zoid = blob_chunk.zoid
        WHERE known.oid IS NULL AND (object.parent IS NOT NULL OR blob_chunk.zoid = ANY (attached));
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.broken_blobs(bigint[]) IS
    'Reachable blobs with a row in blob_chunk whose large object does not exist. '
    'attached: others that are known to be reachable since the last pack.';
-- +goose StatementEnd

-- sql/build_begin.sql
-- +goose StatementBegin
-- The watermark is set before the first block is read: what is written from
-- now on has a higher tid or makes an event. Blocks added later hold nothing
-- else.
CREATE OR REPLACE FUNCTION relpack.build_begin(blocks integer DEFAULT 2048)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_last bigint;
BEGIN
    PERFORM relpack.require_pack_lock();
    PERFORM relpack.require_storage();
    IF (SELECT graph FROM relpack.storage) <> 'none' THEN
        RAISE EXCEPTION 'there is already a graph' USING ERRCODE = 'RP002', HINT = 'Call relpack.build_reset() first.';
    END IF;
    IF NOT relpack.try_writers_lock() THEN
        RETURN false;
    END IF;
    UPDATE relpack.storage
    SET graph = 'scanning',
        watermark = relpack.newest_tid(),
        replaced = CASE WHEN relation NOT IN (0, 'public.object_state'::regclass) THEN now() ELSE replaced END,
        relation = 'public.object_state'::regclass,
        filenode = pg_relation_filenode('public.object_state'),
        trigger_identity = relpack.trigger_identity(),
        column_identity = relpack.column_identity(),
        graph_identity = relpack.graph_identity();
    -- All that is recorded from now on is read from now on.
    PERFORM relpack.audit_whole(clock_timestamp());
    v_last := pg_relation_size('public.object_state') / current_setting('block_size')::bigint;
    INSERT INTO relpack.scan_range (first_block, last_block)
    SELECT first_block, first_block + blocks - 1
    FROM generate_series(0, v_last, blocks) AS range (first_block);
    RETURN true;
END;
$$;

COMMENT ON FUNCTION relpack.build_begin(integer) IS
    'Starts a first build: notes the watermark and lists the ranges of blocks to read. '
    'False when the writers'' lock could not be had: try again.';
-- +goose StatementEnd

-- sql/build_drop_doubles.sql
-- +goose StatementBegin
-- A row that moved while the scan went on (VACUUM FULL, a restored row, an
-- UPDATE with our triggers off) may have been read twice. Both readings go, and
-- the object is read again. Of a history-preserving storage each build looks.
CREATE OR REPLACE FUNCTION relpack.build_drop_doubles()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
AS $$
DECLARE
    v_twice bigint;
BEGIN
    IF NOT (SELECT scan_disturbed OR keeps_history FROM relpack.storage)
       AND NOT EXISTS (SELECT FROM relpack.write_event)
       AND relpack.doubt() IS NULL THEN
        RETURN 0;
    END IF;
    INSERT INTO relpack.pending (zoid)
    SELECT zoid
    FROM relpack.staged_object
    GROUP BY zoid
    HAVING count(*) > 1
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS v_twice = ROW_COUNT;
    IF v_twice > 0 THEN
        DELETE FROM relpack.staged_object USING relpack.pending WHERE staged_object.zoid = pending.zoid;
        DELETE FROM relpack.object_inref USING relpack.pending WHERE object_inref.inref = pending.zoid;
        UPDATE relpack.storage
        SET objects = (SELECT count(*) FROM relpack.staged_object),
            inrefs = (SELECT count(*) FROM relpack.object_inref);
    END IF;
    RETURN v_twice;
END;
$$;

COMMENT ON FUNCTION relpack.build_drop_doubles() IS
    'Step of relpack.build_step(): drops objects that a disturbed scan read twice and puts them into relpack.pending; returns how many.';
-- +goose StatementEnd

-- sql/build_enter.sql
-- +goose StatementBegin
-- A range of zoids, once: who locks its row in fill_range fills it, so that
-- several sessions can. Both sides of the join are read in the order of their
-- indexes. The parent is a referrer on the level above (see relpack.build_mark()), so
-- that parents can't form a circle, and no tree is shallower.
CREATE OR REPLACE FUNCTION relpack.build_enter()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_nestloop = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashagg = off
SET enable_sort = off
SET max_parallel_workers_per_gather = 0
SET plan_cache_mode = force_generic_plan
SET lock_timeout = '500ms'
AS $$
DECLARE
    v_range relpack.fill_range;
    v_reached record;
    v_sparse boolean;
    v_end bigint;
    v_rows bigint;
BEGIN
    SELECT fill_range.* INTO v_range
    FROM relpack.fill_range
    WHERE (SELECT graph FROM relpack.storage) = 'filling'
    ORDER BY first_zoid
    LIMIT 1
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    -- Appended to, they are read from the table once, not for each row.
    SELECT depths || ''::bytea AS depths, zoids || '{}'::bigint[] AS zoids, zoids IS NOT NULL AS sparse
    INTO STRICT v_reached
    FROM relpack.reached;
    v_sparse := v_reached.sparse;
    v_end := length(v_reached.depths);
    INSERT INTO relpack.object (zoid, tid, parent, class, size)
    SELECT staged.zoid, staged.tid,
           CASE staged.zoid WHEN 0 THEN 0 ELSE above.inref END,
           staged.class, staged.size
    FROM relpack.staged_object AS staged
    LEFT JOIN (
        SELECT DISTINCT ON (edge.zoid) edge.zoid, edge.inref
        FROM relpack.object_inref AS edge
        WHERE edge.zoid BETWEEN v_range.first_zoid AND v_range.last_zoid
          AND relpack.build_level(edge.zoid, v_reached.depths, v_sparse, v_reached.zoids, v_end)
              = 1 + relpack.build_level(edge.inref, v_reached.depths, v_sparse, v_reached.zoids, v_end)
        ORDER BY edge.zoid, edge.inref
    ) AS above ON above.zoid = staged.zoid
    WHERE staged.zoid BETWEEN v_range.first_zoid AND v_range.last_zoid;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    DELETE FROM relpack.fill_range WHERE first_zoid = v_range.first_zoid;
    RETURN v_rows;
END;
$$;

COMMENT ON FUNCTION relpack.build_enter() IS
    'Step of relpack.build_step(): enters a range of the objects that were read, with the parents that follow from '
    'what relpack.build_mark() found, into relpack.object; returns how many, NULL when no range is left. '
    'A second session may call it too.';
-- +goose StatementEnd

-- sql/build_finish.sql
-- +goose StatementBegin
-- For relpack.build_step() alone, with its rights and lock_timeout. Out of turn it
-- would call a graph current that nobody has compared.
CREATE OR REPLACE FUNCTION relpack.build_finish()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_pack_lock();
    IF NOT EXISTS (SELECT FROM relpack.storage WHERE graph = 'finishing') THEN
        RAISE EXCEPTION 'no first build is at its end' USING ERRCODE = 'RP002', HINT = 'Run "relpack pack".';
    END IF;
    IF to_regclass('relpack.object_inref_pkey') IS NULL THEN
        LOCK TABLE relpack.object_inref IN SHARE MODE;
        PERFORM set_config('lock_timeout', '500ms', true);
        ALTER TABLE relpack.object_inref
            ADD CONSTRAINT object_inref_pkey PRIMARY KEY USING INDEX object_inref_zoid;
    ELSIF to_regclass('relpack.object_pkey') IS NULL THEN
        IF to_regclass('relpack.object_zoid') IS NULL THEN
            CREATE UNIQUE INDEX object_zoid ON relpack.object (zoid);
        ELSE
            LOCK TABLE relpack.object IN SHARE MODE;
            PERFORM set_config('lock_timeout', '500ms', true);
            ALTER TABLE relpack.object ADD CONSTRAINT object_pkey PRIMARY KEY USING INDEX object_zoid;
        END IF;
    ELSE
        ANALYZE relpack.object, relpack.object_inref;
        PERFORM relpack.count_dangling();
        PERFORM relpack.scratch_clear('relpack.staged_object'),
                relpack.scratch_clear('relpack.reached');
        UPDATE relpack.storage
        SET graph = CASE WHEN scan_disturbed THEN 'doubtful' ELSE 'current' END,
            applied_tid = watermark,
            listed_tid = watermark,
            scan_disturbed = false;
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.build_finish() IS
    'Step of relpack.build_step(): attaches one primary key a call, and then the graph is built. '
    'Raises RP002 in any other state of the graph.';
-- +goose StatementEnd

-- sql/build_index_inref.sql
-- +goose StatementBegin
-- The walk from the root goes by this index. SECURITY DEFINER for the reason
-- that relpack.build_index_keys() has.
CREATE OR REPLACE FUNCTION relpack.build_index_inref()
RETURNS void
LANGUAGE plpgsql
VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET maintenance_work_mem = '32MB'
SET lock_timeout = '5s'
SET client_min_messages = warning
AS $$
BEGIN
    PERFORM relpack.require_packer();
    CREATE INDEX IF NOT EXISTS object_inref_inref ON relpack.object_inref (inref);
EXCEPTION
    WHEN unique_violation OR duplicate_table THEN
        -- A session that a killed run left behind was still at it.
        IF to_regclass('relpack.object_inref_inref') IS NULL THEN
            RAISE;
        END IF;
END;
$$;

COMMENT ON FUNCTION relpack.build_index_inref() IS
    'Step of relpack.build_step(): the index of relpack.object_inref by referrer, unless it is there.';
-- +goose StatementEnd

-- sql/build_index_keys.sql
-- +goose StatementBegin
-- One a call: to make an index again because a later one met a lock would take
-- long. Only the index of the primary key: to attach it takes a strong lock.
-- SECURITY DEFINER: it takes the owner of the tables.
CREATE OR REPLACE FUNCTION relpack.build_index_keys()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET maintenance_work_mem = '32MB'
SET max_parallel_maintenance_workers = 0
SET lock_timeout = '5s'
SET client_min_messages = warning
AS $$
DECLARE
    v_staged boolean := to_regclass('relpack.staged_object_zoid') IS NOT NULL;
BEGIN
    PERFORM relpack.require_packer();
    IF NOT v_staged THEN
        CREATE UNIQUE INDEX staged_object_zoid ON relpack.staged_object (zoid);
    ELSIF to_regclass('relpack.object_inref_zoid') IS NULL THEN
        CREATE UNIQUE INDEX object_inref_zoid ON relpack.object_inref (zoid, inref);
    ELSE
        RETURN false;
    END IF;
    RETURN true;
EXCEPTION
    WHEN unique_violation OR duplicate_table THEN
        -- A session that a killed run left behind was still at it.
        IF to_regclass(CASE WHEN v_staged THEN 'relpack.object_inref_zoid' ELSE 'relpack.staged_object_zoid' END) IS NULL THEN
            RAISE;
        END IF;
        RETURN true;
END;
$$;

COMMENT ON FUNCTION relpack.build_index_keys() IS
    'Step of relpack.build_step(): one of the indexes that relpack.build_enter() needs, of relpack.staged_object and of the '
    'primary key of relpack.object_inref; false when both are there. '
    'A second session may call it while relpack.build_mark() is at work.';
-- +goose StatementEnd

-- sql/build_level.sql
-- +goose StatementBegin
-- What relpack.build_mark() has noted of an object, where it says how: a byte for
-- each place. A body parsed on creation that is one expression is put in the place
-- of the call, and costs what it did there.
CREATE OR REPLACE FUNCTION relpack.build_level(zoid bigint, depths bytea, sparse boolean, zoids bigint[], places bigint)
RETURNS integer
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN get_byte(depths, CASE
    WHEN sparse THEN
        CASE WHEN zoids[width_bucket(zoid, zoids)] = zoid THEN (width_bucket(zoid, zoids) - 1) # 7 END
    WHEN zoid BETWEEN 0 AND places - 1 THEN (zoid # 7)::integer
    END);

COMMENT ON FUNCTION relpack.build_level(bigint, bytea, boolean, bigint[], bigint) IS
    'Step of relpack.build_mark(), and of what chooses parents by it: on which level an object is, 1 the root, 0: not reached. '
    'NULL: it has no byte.';
-- +goose StatementEnd

-- sql/build_mark.sql
-- +goose StatementBegin
-- Walks from the root breadth-first and notes the level of each object: what is
-- k references away from the root is on level k. A parent one level above makes
-- the tree as shallow as it can be. Used by a first build and by
-- relpack.reshape(), which both choose the parents afterwards.
--
-- A byte for each place: 0 not reached, else 1 + level. The place of an object is
-- its zoid; where zoids are so sparse that most bytes would be of no use, it is
-- the number of zoids below it in a sorted array. Eight bytes are a word of an
-- array, which PL/pgSQL changes in place; int8send() writes the high byte first,
-- so that in relpack.reached.depths the byte of a place is at place # 7 (XOR).
--
-- A narrow level looks its references up by index, a wide one reads all of them
-- once. A FOR loop over a query sees the bytes as they were when the query began.
-- What lies deeper than a byte can say, and objects beyond grow_zoids, are left
-- to relpack.reach_flow().
CREATE OR REPLACE FUNCTION relpack.build_mark()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_material = off
SET max_parallel_workers_per_gather = 0
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_limits record := relpack.walk_limits();
    v_objects bigint := (SELECT objects FROM relpack.storage);
    v_highest bigint := greatest((SELECT max(zoid) FROM relpack.staged_object), (SELECT max(zoid) FROM relpack.object), 0);
    v_sparse boolean := v_highest >= least(8 * v_objects, v_limits.grow_zoids);
    -- A record: an array in a variable of its own would be copied for each row.
    v_numbered record;
    v_end bigint := least(v_highest, 9223372036854775806) + 1;
    v_depths bigint[];
    v_bytes bytea;
    v_wide bigint := (SELECT inrefs / v_limits.grow_wide FROM relpack.storage);
    v_frontier bigint[];
    v_next bigint[] := '{0}'::bigint[];
    v_width bigint := 1;
    v_level bigint := 1;
    v_reading boolean;
    v_zoid bigint;
    v_place bigint;
    v_total bigint := 1;
    v_depth bigint := 0;
BEGIN
    PERFORM relpack.scratch_clear('relpack.reached');
    SELECT NULL::bigint[] AS zoids INTO v_numbered;
    IF v_sparse THEN
        -- The root comes first even where it was written after the watermark and is
        -- not read yet: nothing else is where the walk begins.
        SELECT '{0}'::bigint[] || ARRAY(
            SELECT zoid
            FROM (SELECT zoid FROM relpack.staged_object UNION ALL SELECT zoid FROM relpack.object) AS stored
            WHERE zoid > 0
            ORDER BY zoid
            LIMIT v_limits.grow_zoids - 1) AS zoids
        INTO v_numbered;
        v_end := cardinality(v_numbered.zoids);
    END IF;
    v_depths := array_fill(0::bigint, ARRAY[(greatest(v_end - 1, 0) >> 3)::integer + 1], ARRAY[0]);
    v_depths[0] := 1;
    LOOP
        v_level := v_level + 1;
        v_frontier := v_next;
        v_next := '{}'::bigint[];
        v_reading := v_width > v_wide;
        v_width := 0;
        v_bytes := CASE WHEN v_reading THEN (SELECT string_agg(int8send(word), ''::bytea) FROM unnest(v_depths) AS word) END;
        FOR v_zoid, v_place IN
            (SELECT edge.zoid, CASE WHEN v_sparse THEN width_bucket(edge.zoid, v_numbered.zoids) - 1 ELSE edge.zoid END
             FROM relpack.object_inref AS edge
             WHERE v_reading
               AND relpack.build_level(edge.inref, v_bytes, v_sparse, v_numbered.zoids, v_end) = v_level - 1
               AND relpack.build_level(edge.zoid, v_bytes, v_sparse, v_numbered.zoids, v_end) = 0)
            UNION ALL
            (SELECT target.zoid, CASE WHEN v_sparse THEN width_bucket(target.zoid, v_numbered.zoids) - 1 ELSE target.zoid END
             FROM unnest(v_frontier) AS frontier (zoid)
             CROSS JOIN LATERAL (
                 SELECT object_inref.zoid FROM relpack.object_inref WHERE object_inref.inref = frontier.zoid OFFSET 0
             ) AS target
             WHERE NOT v_reading
               AND CASE WHEN v_sparse THEN v_numbered.zoids[width_bucket(target.zoid, v_numbered.zoids)] = target.zoid
                        ELSE target.zoid BETWEEN 0 AND v_end - 1 END)
        LOOP
            IF (v_depths[v_place >> 3] >> ((v_place & 7) << 3)::integer) & 255 = 0 THEN
                v_depths[v_place >> 3] := v_depths[v_place >> 3] | (v_level << ((v_place & 7) << 3)::integer);
                v_width := v_width + 1;
                IF v_width <= v_wide THEN
                    v_next := v_next || v_zoid;
                END IF;
            END IF;
        END LOOP;
        v_total := v_total + v_width;
        v_depth := v_depth + v_width * (v_level - 1);
        EXIT WHEN v_width = 0 OR v_level = v_limits.grow_levels;
    END LOOP;
    INSERT INTO relpack.reached (depths, zoids)
    SELECT string_agg(int8send(word), ''::bytea), v_numbered.zoids
    FROM unnest(v_depths) AS word
    RETURNING depths INTO v_bytes;
    IF v_width > 0 OR v_sparse AND v_end < v_objects THEN
        INSERT INTO relpack.suspect (zoid, stage)
        SELECT DISTINCT edge.inref, 'flow'
        FROM relpack.object_inref AS edge
        WHERE relpack.build_level(edge.inref, v_bytes, v_sparse, v_numbered.zoids, v_end) > 0
          AND coalesce(relpack.build_level(edge.zoid, v_bytes, v_sparse, v_numbered.zoids, v_end), 0) = 0
        ON CONFLICT (zoid) DO UPDATE SET stage = excluded.stage;
    END IF;
    -- Of what lies deeper than this saw nobody knows how deep it is.
    UPDATE relpack.storage
    SET shaped_depth = CASE WHEN NOT EXISTS (SELECT FROM relpack.suspect) THEN v_depth::float8 / v_total END,
        depth_looked_at = clock_timestamp();
    RETURN v_total;
END;
$$;

COMMENT ON FUNCTION relpack.build_mark() IS
    'Step of relpack.build_step() and relpack.reshape(): finds how many references each object is away from the root, '
    'into relpack.reached, and from which objects life has yet to flow on; returns how many were reached.';
-- +goose StatementEnd

-- sql/build_reset.sql
-- +goose StatementBegin
-- Forgets the graph. Without it nothing needs an event, so that writers are
-- not delayed; indexes are made after the tables are filled. SECURITY DEFINER:
-- only the owner of a table may drop its indexes, and a role that packs need
-- not be that.
CREATE OR REPLACE FUNCTION relpack.build_reset()
RETURNS void
LANGUAGE plpgsql
VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '500ms'
SET client_min_messages = warning
AS $$
BEGIN
    PERFORM relpack.require_packer();
    PERFORM relpack.require_pack_lock();
    -- A storage of which no graph can be built keeps the one that there is.
    PERFORM relpack.require_storage();
    PERFORM relpack.require_no_holes();
    UPDATE relpack.storage
    SET graph = 'none', watermark = 0, applied_tid = 0, listed_tid = 0, noticed_tid = 0, doomed_tid = 0,
        settled_tid = 0, clock_tid = NULL, cleared_tid = 0, oldest_tid = 0,
        objects = 0, inrefs = 0, walked_objects = 0,
        doomed_until = 0, begun_until = 0, scan_disturbed = false, reread = false, resettle = false,
        replaced = CASE WHEN EXISTS (SELECT FROM relpack.write_event WHERE kind = 'truncated')
                        THEN now() ELSE replaced END;
    TRUNCATE relpack.object, relpack.object_inref, relpack.staged_object, relpack.reached,
             relpack.pending, relpack.suspect, relpack.doomed, relpack.problem, relpack.capture, relpack.set_aside,
             relpack.foreign_reference,
             relpack.missing, relpack.dangling,
             relpack.scan_range, relpack.fill_range;
    DELETE FROM relpack.write_event;
    ALTER TABLE relpack.object DROP CONSTRAINT IF EXISTS object_pkey;
    ALTER TABLE relpack.object_inref DROP CONSTRAINT IF EXISTS object_inref_pkey;
    DROP INDEX IF EXISTS relpack.object_detached, relpack.object_inref_inref,
                         relpack.object_zoid, relpack.object_inref_zoid, relpack.staged_object_zoid;
END;
$$;

COMMENT ON FUNCTION relpack.build_reset() IS
    'Forgets the graph, for a first build or "relpack pack --init". Blob files waiting to be removed are kept.';
-- +goose StatementEnd

-- sql/build_step.sql
-- +goose StatementBegin
-- What follows the scan, one step a call, so that each is a transaction of its
-- own and an interrupted build goes on with the step it was in. Indexes are
-- built under a lock that lets readers go on, and is waited for until autovacuum
-- has given way; only to attach one as a primary key takes a strong lock, which
-- is not waited for long. SECURITY DEFINER for the reason that
-- relpack.build_reset() has.
CREATE OR REPLACE FUNCTION relpack.build_step(OUT step text, OUT added bigint)
LANGUAGE plpgsql
VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET maintenance_work_mem = '32MB'
SET work_mem = '64MB'
SET lock_timeout = '5s'
SET client_min_messages = warning
AS $$
BEGIN
    PERFORM relpack.require_packer();
    PERFORM relpack.require_pack_lock();
    SELECT graph INTO STRICT step FROM relpack.storage;
    CASE step
    WHEN 'scanning' THEN
        IF EXISTS (SELECT FROM relpack.scan_range) THEN
            RAISE EXCEPTION 'the scan is not finished' USING ERRCODE = 'RP002', HINT = 'Run "relpack pack".';
        END IF;
        PERFORM relpack.build_drop_doubles();
        -- Of what the first build finds unreachable nobody knows since when.
        INSERT INTO relpack.capture (watermark, read_until) VALUES (0, relpack.capture_read_until());
        UPDATE relpack.storage SET graph = 'indexing';
    WHEN 'indexing' THEN
        PERFORM relpack.build_index_inref();
        UPDATE relpack.storage SET graph = 'marking';
    WHEN 'marking' THEN
        -- Few of the rows to come are in this one.
        CREATE INDEX object_detached ON relpack.object (zoid) WHERE coalesce(parent, -1) = -1;
        added := relpack.build_mark();
        PERFORM relpack.list_ranges();
        UPDATE relpack.storage SET graph = 'filling';
    WHEN 'filling' THEN
        IF relpack.build_index_keys() THEN
            RETURN;
        END IF;
        added := relpack.build_enter();
        IF added IS NULL THEN
            -- Another session may be at the last range.
            PERFORM FROM relpack.fill_range FOR UPDATE;
            UPDATE relpack.storage
            SET graph = 'finishing'
            WHERE NOT EXISTS (SELECT FROM relpack.fill_range);
        END IF;
    WHEN 'finishing' THEN
        PERFORM relpack.build_finish();
    ELSE
        step := NULL;
    END CASE;
END;
$$;

COMMENT ON FUNCTION relpack.build_step() IS
    'One step of a first build after the scan: indexes, the spanning tree, the nodes. '
    'step: what it worked on, NULL when the graph is built; added: objects reached or entered by it. '
    'Raises lock_not_available when a reader such as pg_dump is in the way: try again.';
-- +goose StatementEnd

-- sql/capped_pack_time.sql
-- +goose StatementBegin
-- What another client holds in memory since its transaction began must not be
-- deleted under it.
CREATE OR REPLACE FUNCTION relpack.capped_pack_time(pack_time timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pack_time IS NULL OR pack_time = 'infinity' THEN
        RETURN pack_time;
    END IF;
    RETURN least(pack_time, clock_timestamp(), relpack.grace_oldest_transaction());
END;
$$;

COMMENT ON FUNCTION relpack.capped_pack_time(timestamptz) IS
    'The pack time, but no later than now and than the start of the oldest open transaction of other clients of this '
    'database. NULL and infinity mean "up to the last commit" and are not capped.';
-- +goose StatementEnd

-- sql/capture_changes.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.capture_changes(applied bigint, compare boolean)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A missing row may be back without anybody having reported it.
    INSERT INTO relpack.pending (zoid)
    SELECT missing.zoid
    FROM relpack.missing
    WHERE EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = missing.zoid)
    ON CONFLICT DO NOTHING;

    IF compare THEN
        PERFORM relpack.capture_recount();
        PERFORM relpack.capture_compare();
    ELSIF EXISTS (SELECT FROM relpack.pending) THEN
        -- Of what an abandoned run had listed, a part may be applied.
        INSERT INTO relpack.pending (zoid)
        SELECT stored.zoid
        FROM relpack.stored()
        WHERE stored.tid > applied
          AND NOT EXISTS (
              SELECT
              FROM relpack.object
              WHERE object.zoid = stored.zoid AND object.tid = stored.tid)
        ON CONFLICT DO NOTHING;
    ELSIF relpack.keeps_history() THEN
        INSERT INTO relpack.pending (zoid)
        SELECT DISTINCT stored.zoid
        FROM relpack.stored()
        WHERE stored.tid > applied
        ON CONFLICT DO NOTHING;
    ELSE
        -- Nothing is in the way, and in order it goes into the index fastest.
        INSERT INTO relpack.pending (zoid)
        SELECT zoid
        FROM relpack.stored()
        WHERE tid > applied
        ORDER BY zoid;
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.capture_changes(bigint, boolean) IS
    'Step of relpack.capture_list(): puts what was written since the transaction applied into relpack.pending, or all '
    'that differs from the graph (compare).';
-- +goose StatementEnd

-- sql/capture_compare.sql
-- +goose StatementBegin
-- Every (zoid, tid) of the storage against the graph, those above the
-- watermark too, as in relpack.capture_list. A tid above what was collected tells
-- nothing of the state, should the graph have it: what it was read ahead of may be
-- forgotten.
CREATE OR REPLACE FUNCTION relpack.capture_compare()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
AS $$
DECLARE
    v_collected bigint := (SELECT listed_tid FROM relpack.storage);
    v_count bigint;
BEGIN
    PERFORM relpack.require_pack_lock();
    PERFORM relpack.lock_storage();
    IF relpack.keeps_history() THEN
        -- The newest tid tells nothing of those before it.
        INSERT INTO relpack.pending (zoid)
        SELECT stored.zoid FROM relpack.stored()
        UNION
        SELECT object.zoid FROM relpack.object
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS v_count = ROW_COUNT;
        RETURN v_count;
    END IF;
    INSERT INTO relpack.pending (zoid)
    SELECT coalesce(stored.zoid, object.zoid)
    FROM relpack.stored()
    FULL JOIN relpack.object ON object.zoid = stored.zoid
    WHERE stored.tid IS DISTINCT FROM object.tid OR stored.tid > v_collected
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END;
$$;

COMMENT ON FUNCTION relpack.capture_compare() IS
    'Compares every object''s tid with the graph and puts what differs into relpack.pending; returns how many. '
    'Reads all of object_state and relpack.object once. In a history-preserving storage all objects count as different.';
-- +goose StatementEnd

-- sql/capture_events.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.capture_events(OUT reported boolean, OUT truncated boolean, OUT ahead boolean)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_deleted bigint;
    v_objects bigint := (SELECT objects FROM relpack.storage);
BEGIN
    WITH taken AS (
        DELETE FROM relpack.write_event
        RETURNING zoid, kind
    ), asked AS (
        INSERT INTO relpack.pending (zoid)
        SELECT DISTINCT zoid FROM taken WHERE zoid IS NOT NULL
        ON CONFLICT DO NOTHING
    )
    SELECT coalesce(bool_or(kind <> 'ahead'), false), coalesce(bool_or(kind = 'truncated'), false),
           coalesce(bool_or(kind = 'ahead'), false), count(DISTINCT zoid) FILTER (WHERE kind = 'deleted')
    INTO reported, truncated, ahead, v_deleted
    FROM taken;
    -- A pack by RelStorage deletes old revisions of most objects of a history.
    IF v_deleted > v_objects / 2 AND relpack.keeps_history() THEN
        v_deleted := (
            SELECT count(*)
            FROM relpack.pending
            WHERE NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = pending.zoid OFFSET 0));
    END IF;
    IF reported THEN
        -- What no tid dates (rows deleted in psql, an older load) may have
        -- happened just now, long after the last commit.
        UPDATE relpack.storage
        SET noticed_tid = greatest(noticed_tid, relpack.time_to_tid(clock_timestamp())),
            graph = CASE WHEN truncated THEN 'doubtful' ELSE graph END,
            -- zodbconvert --clear deletes all rows where it may not TRUNCATE.
            replaced = CASE WHEN truncated OR v_deleted > objects / 2 THEN now() ELSE replaced END;
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.capture_events() IS
    'Step of relpack.capture_list(): takes what triggers reported into relpack.pending. '
    'reported: there was something; truncated: all rows were deleted at once; ahead: commits of a history-preserving '
    'storage that were read ahead of this capture.';
-- +goose StatementEnd

-- sql/capture_list.sql
-- +goose StatementBegin
-- Second half of a capture: what must be looked at again goes to pending, in
-- one transaction with the events that asked for it. Events of transactions
-- that are not visible yet stay for the next capture. What was committed after
-- the watermark, a moment ago, is taken along: it may have replaced a revision
-- that this capture would have read (see relpack.apply).
CREATE OR REPLACE FUNCTION relpack.capture_list()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_storage relpack.storage;
    v_abandoned boolean;
    v_reported boolean;
    v_truncated boolean;
    v_ahead boolean;
BEGIN
    PERFORM relpack.require_pack_lock();
    PERFORM relpack.lock_storage();
    v_storage := relpack.known_storage();
    IF v_storage.graph NOT IN ('current', 'doubtful') THEN
        RAISE EXCEPTION 'the graph is not built yet'
            USING ERRCODE = 'RP002', HINT = 'Run "relpack pack --dry-run": it builds the graph and deletes nothing.';
    END IF;
    IF v_storage.reread THEN
        RAISE EXCEPTION 'columns of object_state, or relpack''s own tables, were altered: every state must be read again first'
            USING ERRCODE = 'RP002', HINT = 'Run "relpack pack".';
    END IF;

    v_abandoned := EXISTS (SELECT FROM relpack.pending);
    IF v_storage.keeps_history AND NOT v_abandoned THEN
        -- Nothing is cut off by commits but what old revisions refer to as before. What an event
        -- told of may take effect later: up to the horizon old revisions refer to it still.
        UPDATE relpack.storage SET noticed_tid = 0 WHERE noticed_tid <> 0 AND noticed_tid <= horizon_tid;
    END IF;
    IF v_storage.keeps_history THEN
        PERFORM relpack.capture_set_back(v_storage.applied_tid);
    END IF;
    SELECT events.reported, events.truncated, events.ahead
    INTO v_reported, v_truncated, v_ahead
    FROM relpack.capture_events() AS events;
    IF v_storage.graph = 'doubtful' THEN -- as capture_events() does for what was reported
        UPDATE relpack.storage
        SET noticed_tid = greatest(noticed_tid, relpack.time_to_tid(clock_timestamp()));
    END IF;
    SELECT storage.detach_tid INTO STRICT v_storage.detach_tid FROM relpack.storage;
    IF v_abandoned AND NOT v_storage.keeps_history THEN
        -- A run was abandoned when it had applied a part of its changes. What it
        -- found cut off may have hung on what it did not come to, and may have
        -- been cut only now: its grace begins with this run.
        UPDATE relpack.object
        SET detached_tid = v_storage.detach_tid
        WHERE object.parent IS NULL
          AND object.detached_tid >= least(v_storage.settled_tid, v_storage.applied_tid);
    END IF;

    IF v_reported OR v_storage.graph = 'doubtful' THEN
        -- What was restored may be superseded already.
        UPDATE relpack.storage SET cleared_tid = 0, oldest_tid = 0 WHERE cleared_tid <> 0 OR oldest_tid <> 0;
    END IF;
    PERFORM relpack.capture_changes(v_storage.applied_tid, v_storage.graph = 'doubtful' OR v_truncated);
    PERFORM relpack.capture_salvaged(v_reported OR v_ahead OR v_storage.graph = 'doubtful');
    UPDATE relpack.storage
    SET listed_tid = watermark,
        graph = 'current';
    RETURN relpack.apply_finish();
END;
$$;

COMMENT ON FUNCTION relpack.capture_list() IS
    'Second half of a capture: fills relpack.pending with the objects to read and decode; returns how many there are.';
-- +goose StatementEnd

-- sql/capture_read_until.sql
-- +goose StatementBegin
-- Whether a transaction began after states were read is seen by its start
-- (relpack.grace_cap). Those that are open began before, and if the clock was
-- set back since, it is earlier than their start.
CREATE OR REPLACE FUNCTION relpack.capture_read_until()
RETURNS timestamptz
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- See relpack.grace_oldest_transaction().
    PERFORM pg_stat_clear_snapshot();
    RETURN greatest(
        clock_timestamp(),
        (SELECT max(xact_start) FROM pg_stat_activity WHERE datname = current_database()));
END;
$$;

COMMENT ON FUNCTION relpack.capture_read_until() IS
    'The moment for relpack.capture when states have just been read: now, and not before any open transaction began.';
-- +goose StatementEnd

-- sql/capture_recount.sql
-- +goose StatementBegin
-- A dump restored without the data of some of our tables leaves references
-- that nobody recorded: tids alone would not show that.
CREATE OR REPLACE FUNCTION relpack.capture_recount()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_storage relpack.storage;
    v_objects bigint := (SELECT count(*) FROM relpack.object);
    v_inrefs bigint := (SELECT count(*) FROM relpack.object_inref);
BEGIN
    v_storage := relpack.known_storage();
    IF v_inrefs <> v_storage.inrefs THEN
        RAISE WARNING 'relpack.object_inref has % row%, not %: every object is read again',
                      v_inrefs, CASE v_inrefs WHEN 1 THEN '' ELSE 's' END, v_storage.inrefs;
        INSERT INTO relpack.pending (zoid)
        SELECT zoid FROM relpack.stored()
        ON CONFLICT DO NOTHING;
        INSERT INTO relpack.pending (zoid)
        SELECT DISTINCT inref FROM relpack.object_inref
        ON CONFLICT DO NOTHING;
    END IF;
    UPDATE relpack.storage SET objects = v_objects, inrefs = v_inrefs;
END;
$$;

COMMENT ON FUNCTION relpack.capture_recount() IS
    'Counts the rows of the graph again when it may not match the storage; with references missing, every object goes to relpack.pending.';
-- +goose StatementEnd

-- sql/capture_salvaged.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.capture_salvaged(reported boolean)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- What is odd may have come to name an object that is stored now: one that is
    -- new, or that an event tells of, as it does when it was stored while the odd
    -- record was read; in a graph that is doubted such an event may be lost.
    IF EXISTS (SELECT FROM relpack.problem WHERE kind = 'salvaged')
       AND (reported OR EXISTS (
           SELECT
           FROM relpack.pending
           WHERE NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = pending.zoid OFFSET 0))) THEN
        INSERT INTO relpack.pending (zoid)
        SELECT zoid FROM relpack.problem WHERE kind = 'salvaged'
        ON CONFLICT DO NOTHING;
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.capture_salvaged(boolean) IS
    'Step of relpack.capture_list(): has odd records read again where they may refer to more than they did.';
-- +goose StatementEnd

-- sql/capture_set_back.sql
-- +goose StatementBegin
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
-- +goose StatementEnd

-- sql/capture_watermark.sql
-- +goose StatementBegin
-- First half of a capture: the moment that separates what this run looks at
-- from what makes an event or has a higher tid. A graph that is not
-- trusted (relpack.doubt) becomes doubtful here, together with the identity of what it will be
-- compared with: whatever is written afterwards is reported by triggers.
CREATE OR REPLACE FUNCTION relpack.capture_watermark()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_relation oid;
    v_filenode oid;
    v_triggers text;
    v_columns text;
    v_graph text;
    v_doubt text;
BEGIN
    PERFORM relpack.require_pack_lock();
    PERFORM relpack.require_storage();
    IF NOT relpack.try_writers_lock() THEN
        RETURN false;
    END IF;
    -- In this order: what changes after the look is another one than noted.
    v_relation := to_regclass('public.object_state');
    v_filenode := pg_relation_filenode('public.object_state');
    v_triggers := relpack.trigger_identity();
    v_columns := relpack.column_identity();
    v_graph := relpack.graph_identity();
    v_doubt := relpack.doubt();
    -- Of a storage that has gone back to an earlier transaction (TRUNCATE, an
    -- older load) nothing above that is known.
    UPDATE relpack.storage
    SET watermark = newest.tid,
        clock_tid = greatest(clock_tid, relpack.time_to_tid(clock_timestamp())),
        applied_tid = least(applied_tid, newest.tid),
        graph = CASE WHEN v_doubt IS NOT NULL AND graph = 'current' THEN 'doubtful' ELSE graph END,
        scan_disturbed = scan_disturbed OR (v_doubt IS NOT NULL AND graph NOT IN ('none', 'current')),
        -- Whatever was in a table of ours that is another one now may be lost.
        reread = reread OR (graph <> 'none' AND (column_identity <> v_columns OR graph_identity <> v_graph
                                                 OR relation IS DISTINCT FROM v_relation)),
        resettle = resettle OR (graph <> 'none' AND (graph_identity <> v_graph OR relation IS DISTINCT FROM v_relation)),
        replaced = CASE WHEN relation NOT IN (0, v_relation) OR watermark > coalesce(newest.tid, 0)
                        THEN now() ELSE replaced END,
        relation = v_relation,
        filenode = v_filenode,
        trigger_identity = v_triggers,
        column_identity = v_columns,
        graph_identity = v_graph
    FROM (SELECT relpack.newest_tid() AS tid) AS newest;
    RETURN true;
END;
$$;

COMMENT ON FUNCTION relpack.capture_watermark() IS
    'First half of a capture: while no write is in flight, notes the highest tid. '
    'False when the writers'' lock could not be had: try again. relpack.capture_list() is the second half.';
-- +goose StatementEnd

-- sql/class_id.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.class_id(module text, name text)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_id integer;
BEGIN
    LOOP
        SELECT class.id INTO v_id
        FROM relpack.class
        WHERE class.module = class_id.module AND class.name = class_id.name;
        EXIT WHEN FOUND;
        -- The fixed ones may be lost with all others.
        INSERT INTO relpack.class (id, module, name)
        VALUES (0, '', ''), (1, 'ZODB.blob', 'Blob')
        ON CONFLICT DO NOTHING;
        INSERT INTO relpack.class (module, name)
        VALUES (class_id.module, class_id.name)
        ON CONFLICT DO NOTHING;
    END LOOP;
    RETURN v_id;
END;
$$;

COMMENT ON FUNCTION relpack.class_id(text, text) IS
    'The number of a class in relpack.class, where it is entered if need be.';
-- +goose StatementEnd

-- sql/column_identity.sql
-- +goose StatementBegin
-- ALTER TABLE leaves a trace in xmin of the catalog rows of the columns that it
-- alters; VACUUM FULL, CLUSTER, pg_repack and a further column leave none there.
CREATE OR REPLACE FUNCTION relpack.column_identity()
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT coalesce(string_agg(format('%s:%s', attname, xmin), ' ' ORDER BY attname), '')
        FROM pg_attribute
        WHERE attrelid = to_regclass('public.object_state')
          AND attname IN ('zoid', 'tid', 'state_size', 'state')
          AND NOT attisdropped);
END;
$$;

COMMENT ON FUNCTION relpack.column_identity() IS
    'Catalog identity of the columns of object_state: another one than in relpack.storage.column_identity means that '
    'they were altered, which may have changed every state without a trigger.';
-- +goose StatementEnd

-- sql/commit_durably.sql
-- +goose StatementBegin
-- What is committed locally (relpack.commit_locally) is durable elsewhere once
-- this is. No message of a wait that is given up: the report has one.
CREATE OR REPLACE FUNCTION relpack.commit_durably(packer integer, run bigint, deleted bigint)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_packer_alive(packer);
    PERFORM set_config('client_min_messages', 'error', true),
            set_config('synchronous_commit', 'on', true);
    UPDATE relpack.run SET deleted = commit_durably.deleted WHERE id = commit_durably.run;
    IF NOT FOUND THEN
        -- A transaction that has written nothing waits for nobody.
        RAISE EXCEPTION 'the row of this run in relpack.run was deleted' USING ERRCODE = 'RP002', HINT = 'Run "relpack pack" again.';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.commit_durably(integer, bigint, bigint) IS
    'Notes in relpack.run how many objects are deleted, and has the COMMIT of this transaction wait for synchronous '
    'standbys: with it, all that was committed before is durable there, so that files of deleted blobs may go. '
    'For another session than packer, which holds the pack lock: RP004 otherwise.';
-- +goose StatementEnd

-- sql/commit_locally.sql
-- +goose StatementBegin
-- A COMMIT that waits for a synchronous standby has not let go of its locks. If
-- the standby is gone, all writing would stop, also of applications that do
-- without one. What must be durable elsewhere, before files go, is a commit of
-- its own without locks.
CREATE OR REPLACE FUNCTION relpack.commit_locally()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('synchronous_commit') NOT IN ('off', 'local') THEN
        PERFORM set_config('synchronous_commit', 'local', true);
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.commit_locally() IS
    'Lets this transaction, which holds the writers'' lock or rows of the storage, commit without waiting for a synchronous standby.';
-- +goose StatementEnd

-- sql/count_dangling.sql
-- +goose StatementBegin
-- A bit for each zoid that the graph has, and one reading of the references:
-- of a million objects with 2.3 million references it takes half as long as to
-- make an index of these, a third of what the cheapest join takes. As in
-- relpack.build_mark(), where zoids are beyond the bits or so sparse that most would be
-- of no use, they are joined. int8send() writes the high byte first, so that the
-- bit of a zoid is at zoid # 56 (XOR).
CREATE OR REPLACE FUNCTION relpack.count_dangling()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
SET enable_hashjoin = off
SET enable_nestloop = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_objects bigint;
    v_end bigint;
    v_bits bytea;
    v_count bigint;
BEGIN
    PERFORM relpack.scratch_clear('relpack.dangling');
    SELECT count(*), least(max(zoid), 9223372036854775806) + 1 INTO v_objects, v_end FROM relpack.object;
    IF v_end BETWEEN 1 AND least(1000 + 64 * v_objects, (relpack.walk_limits()).grow_zoids) THEN
        SELECT string_agg(int8send(coalesce(stored.bits, 0)), '' ORDER BY place.word)
        INTO v_bits
        FROM generate_series(0, v_end >> 6) AS place (word)
        LEFT JOIN (
            SELECT zoid >> 6 AS word, bit_or(1::bigint << (zoid & 63)::integer) AS bits
            FROM relpack.object
            WHERE zoid >= 0
            GROUP BY zoid >> 6
        ) AS stored ON stored.word = place.word;
        INSERT INTO relpack.dangling (zoid)
        SELECT DISTINCT zoid
        FROM relpack.object_inref
        WHERE CASE WHEN zoid BETWEEN 0 AND v_end - 1 THEN get_bit(v_bits, zoid # 56) = 0
                   ELSE zoid >= 0 OR zoid NOT IN (SELECT object.zoid FROM relpack.object WHERE object.zoid < 0) END;
        GET DIAGNOSTICS v_count = ROW_COUNT;
    ELSE
        INSERT INTO relpack.dangling (zoid)
        SELECT DISTINCT edge.zoid
        FROM relpack.object_inref AS edge
        WHERE NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = edge.zoid);
        GET DIAGNOSTICS v_count = ROW_COUNT;
    END IF;
    RETURN v_count;
END;
$$;

COMMENT ON FUNCTION relpack.count_dangling() IS
    'Fills relpack.dangling again from the whole graph, in a first build and in "relpack verify --repair"; returns how many there are.';
-- +goose StatementEnd

-- sql/create_triggers.sql
-- +goose StatementBegin
-- Installs, or installs again, relpack's triggers on object_state and on the
-- tables of the graph. Needs their owner. The locks are strong but short: the caller sets lock_timeout.
CREATE OR REPLACE FUNCTION relpack.create_triggers()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
BEGIN
    PERFORM relpack.drop_triggers();

    CREATE TRIGGER relpack_lock_writer
        BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.object_state
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.trigger_lock();
    CREATE TRIGGER relpack_report_insert
        AFTER INSERT ON public.object_state
        REFERENCING NEW TABLE AS written
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.trigger_write();
    IF EXISTS (
        SELECT
        FROM pg_attribute
        WHERE attrelid = 'public.object_state'::regclass AND attname = 'prev_tid' AND NOT attisdropped) THEN
        CREATE TRIGGER relpack_report_update
            AFTER UPDATE ON public.object_state
            REFERENCING OLD TABLE AS replaced NEW TABLE AS written
            FOR EACH STATEMENT EXECUTE FUNCTION relpack.trigger_rewrite();
    ELSE
        CREATE TRIGGER relpack_report_update
            AFTER UPDATE ON public.object_state
            REFERENCING NEW TABLE AS written
            FOR EACH STATEMENT EXECUTE FUNCTION relpack.trigger_write();
    END IF;
    CREATE TRIGGER relpack_report_delete
        AFTER DELETE ON public.object_state
        REFERENCING OLD TABLE AS deleted
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.trigger_delete();
    CREATE TRIGGER relpack_report_truncate
        AFTER TRUNCATE ON public.object_state
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.trigger_truncate();
    CREATE TRIGGER relpack_report_applied
        AFTER INSERT OR UPDATE OR DELETE ON public.object_state
        FOR EACH ROW EXECUTE FUNCTION relpack.trigger_applied();
    CREATE TRIGGER relpack_report_move
        AFTER UPDATE ON public.object_state
        FOR EACH ROW WHEN (OLD.zoid IS DISTINCT FROM NEW.zoid)
        EXECUTE FUNCTION relpack.trigger_move();
    -- ALWAYS: they fire under session_replication_role = replica too.
    ALTER TABLE public.object_state
        ENABLE ALWAYS TRIGGER relpack_lock_writer,
        ENABLE ALWAYS TRIGGER relpack_report_insert,
        ENABLE ALWAYS TRIGGER relpack_report_update,
        ENABLE ALWAYS TRIGGER relpack_report_delete,
        ENABLE ALWAYS TRIGGER relpack_report_truncate,
        ENABLE ALWAYS TRIGGER relpack_report_move,
        ENABLE REPLICA TRIGGER relpack_report_applied;
    COMMENT ON TRIGGER relpack_lock_writer ON public.object_state IS 'relpack: writers share a lock';
    COMMENT ON TRIGGER relpack_report_insert ON public.object_state IS 'relpack: reports rows with an old tid';
    COMMENT ON TRIGGER relpack_report_update ON public.object_state IS 'relpack: reports rows with an old tid';
    COMMENT ON TRIGGER relpack_report_delete ON public.object_state IS 'relpack: reports deleted objects';
    COMMENT ON TRIGGER relpack_report_truncate ON public.object_state IS 'relpack: reports a TRUNCATE';
    COMMENT ON TRIGGER relpack_report_move ON public.object_state IS 'relpack: reports rows that got another zoid';
    COMMENT ON TRIGGER relpack_report_applied ON public.object_state IS 'relpack: reports rows applied by logical replication';

    CREATE TRIGGER relpack_guard_object
        BEFORE DELETE OR TRUNCATE ON relpack.object
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.guard_graph();
    CREATE TRIGGER relpack_guard_inref
        BEFORE DELETE OR TRUNCATE ON relpack.object_inref
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.guard_graph();
    CREATE TRIGGER relpack_guard_missing
        BEFORE DELETE OR TRUNCATE ON relpack.missing
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.guard_graph();
    CREATE TRIGGER relpack_guard_write_event
        BEFORE DELETE OR TRUNCATE ON relpack.write_event
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.guard_graph();
    CREATE TRIGGER relpack_guard_pending
        BEFORE DELETE OR TRUNCATE ON relpack.pending
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.guard_graph();
    CREATE TRIGGER relpack_guard_suspect
        BEFORE DELETE OR TRUNCATE ON relpack.suspect
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.guard_graph();
    CREATE TRIGGER relpack_guard_problem
        BEFORE DELETE OR TRUNCATE ON relpack.problem
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.guard_graph();
    CREATE TRIGGER relpack_guard_foreign_reference
        BEFORE DELETE OR TRUNCATE ON relpack.foreign_reference
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.guard_graph();
    CREATE TRIGGER relpack_guard_capture
        BEFORE DELETE OR TRUNCATE ON relpack.capture
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.guard_graph();

    CREATE TRIGGER relpack_unreferred
        AFTER INSERT OR UPDATE OR DELETE ON relpack.referred_by
        FOR EACH ROW EXECUTE FUNCTION relpack.note_unreferred();
    CREATE TRIGGER relpack_unreferred_truncate
        BEFORE TRUNCATE ON relpack.referred_by
        FOR EACH STATEMENT EXECUTE FUNCTION relpack.note_unreferred();

    -- ALWAYS: they fire under session_replication_role = replica too.
    ALTER TABLE relpack.object ENABLE ALWAYS TRIGGER relpack_guard_object;
    ALTER TABLE relpack.object_inref ENABLE ALWAYS TRIGGER relpack_guard_inref;
    ALTER TABLE relpack.missing ENABLE ALWAYS TRIGGER relpack_guard_missing;
    ALTER TABLE relpack.write_event ENABLE ALWAYS TRIGGER relpack_guard_write_event;
    ALTER TABLE relpack.pending ENABLE ALWAYS TRIGGER relpack_guard_pending;
    ALTER TABLE relpack.suspect ENABLE ALWAYS TRIGGER relpack_guard_suspect;
    ALTER TABLE relpack.problem ENABLE ALWAYS TRIGGER relpack_guard_problem;
    ALTER TABLE relpack.foreign_reference ENABLE ALWAYS TRIGGER relpack_guard_foreign_reference;
    ALTER TABLE relpack.capture ENABLE ALWAYS TRIGGER relpack_guard_capture;
    ALTER TABLE relpack.referred_by
        ENABLE ALWAYS TRIGGER relpack_unreferred,
        ENABLE ALWAYS TRIGGER relpack_unreferred_truncate;

    COMMENT ON TRIGGER relpack_guard_object ON relpack.object IS 'relpack: refuses DELETE and TRUNCATE to others';
    COMMENT ON TRIGGER relpack_guard_inref ON relpack.object_inref IS 'relpack: refuses DELETE and TRUNCATE to others';
    COMMENT ON TRIGGER relpack_guard_missing ON relpack.missing IS 'relpack: refuses DELETE and TRUNCATE to others';
    COMMENT ON TRIGGER relpack_guard_write_event ON relpack.write_event IS 'relpack: refuses DELETE and TRUNCATE to others';
    COMMENT ON TRIGGER relpack_guard_pending ON relpack.pending IS 'relpack: refuses DELETE and TRUNCATE to others';
    COMMENT ON TRIGGER relpack_guard_suspect ON relpack.suspect IS 'relpack: refuses DELETE and TRUNCATE to others';
    COMMENT ON TRIGGER relpack_guard_problem ON relpack.problem IS 'relpack: refuses DELETE and TRUNCATE to others';
    COMMENT ON TRIGGER relpack_guard_foreign_reference ON relpack.foreign_reference IS 'relpack: refuses DELETE and TRUNCATE to others';
    COMMENT ON TRIGGER relpack_guard_capture ON relpack.capture IS 'relpack: refuses DELETE and TRUNCATE to others';
    COMMENT ON TRIGGER relpack_unreferred ON relpack.referred_by IS 'relpack: begins the grace';
    COMMENT ON TRIGGER relpack_unreferred_truncate ON relpack.referred_by IS 'relpack: begins the grace';
END;
$$;

COMMENT ON FUNCTION relpack.create_triggers() IS
    'Installs relpack''s triggers on object_state, again if need be; the next pack finds by comparing what was written in between. '
    'Call it with a lock_timeout: it needs a strong lock for a moment.';
-- +goose StatementEnd

-- sql/current_blobs.sql
-- +goose StatementBegin
-- Of a history-preserving storage: where garbage stays there is no graph, so that the
-- states are looked at. Only what is stored now proves a blob directory.
CREATE OR REPLACE FUNCTION relpack.current_blobs(
    zoids bigint[],
    OUT zoid bigint, OUT tid bigint)
RETURNS SETOF record
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
AS $$
BEGIN
    LOCK TABLE public.object_state IN ACCESS SHARE MODE;
    RETURN QUERY
    SELECT known.zoid, stored.tid
    FROM (SELECT DISTINCT unnest(zoids) AS zoid) AS known
    JOIN public.current_object ON current_object.zoid = known.zoid
    CROSS JOIN LATERAL (
        SELECT stored.tid, stored.state
        FROM relpack.stored()
        WHERE stored.zoid = known.zoid AND stored.tid BETWEEN current_object.tid AND current_object.tid
        OFFSET 0
    ) AS stored
    WHERE stored.state IS NOT NULL
      AND coalesce(relpack.names_blob(stored.state),
                   EXISTS (SELECT FROM relpack.object WHERE object.zoid = known.zoid AND object.class = 1 OFFSET 0));
END;
$$;

COMMENT ON FUNCTION relpack.current_blobs(bigint[]) IS
    'Those of these objects of a history-preserving storage that are blobs, with their current revisions.';
-- +goose StatementEnd

-- sql/discard_blob_removals.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.discard_blob_removals()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_pack_lock();
    DELETE FROM relpack.blob_removal;
END;
$$;

COMMENT ON FUNCTION relpack.discard_blob_removals() IS
    'Empties relpack.blob_removal of a storage whose blobs are in the database: their rows and large objects went '
    'with the objects, there are no files.';
-- +goose StatementEnd

-- sql/doom.sql
-- +goose StatementBegin
-- Chooses what may be deleted: unreachable, last changed and found cut off
-- before the pack time, and reached by nothing that stays. Objects of a
-- deletion that has begun are not asked for their age again; what was chosen
-- since and is younger (with a smaller grace, by a dry run) is. Where all garbage
-- is within the grace there is nothing to walk. No bitmap scans: they go to the
-- heap for whatever was deleted since the last VACUUM, each time, where an index
-- scan marks it as dead. No JIT: what goes by index although it is called dear
-- (see enable_...) would be compiled for longer than it runs. The settings hold for
-- what is called from here, but for what sets others.
CREATE OR REPLACE FUNCTION relpack.doom(pack_time timestamptz)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
SET jit = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    v_tid bigint := relpack.doom_until(pack_time);
    v_begun bigint;
    v_count bigint;
    v_open timestamptz := now() - interval '30 days';
BEGIN
    PERFORM relpack.require_pack_lock();
    PERFORM relpack.require_settled();
    -- Has happened unless a run was killed at the end of relpack.reach().
    WHILE relpack.forget_missing() > 0 LOOP
    END LOOP;
    -- The clock was ahead when the grace began.
    UPDATE relpack.storage SET unreferred = clock_timestamp() WHERE unreferred > clock_timestamp();
    -- What an earlier deletion left dangling, for as long as it was not over.
    DELETE FROM relpack.dangling
    WHERE NOT EXISTS (SELECT FROM relpack.object_inref WHERE object_inref.zoid = dangling.zoid);
    SELECT begun_until INTO v_begun FROM relpack.storage;
    DELETE FROM relpack.set_aside;
    IF v_begun <> 0 THEN
        DELETE FROM relpack.doomed
        USING relpack.object
        WHERE object.zoid = doomed.zoid
          AND (coalesce(object.detached_tid, object.tid) > v_begun
               -- With an earlier pack time than that deletion had.
               OR object.tid > (SELECT horizon_tid FROM relpack.storage WHERE keeps_history));
        -- Nothing is left of that deletion, or a DBA emptied its list: it is over.
        IF NOT EXISTS (SELECT FROM relpack.doomed) THEN
            v_begun := 0;
        END IF;
    END IF;
    IF v_begun = 0 THEN
        PERFORM relpack.scratch_clear('relpack.doomed');
    END IF;

    IF v_begun <> 0 OR EXISTS (SELECT FROM relpack.detached WHERE detached.since <= v_tid) THEN
        PERFORM set_config('relpack.dooming', pg_current_xact_id()::text, true);
        PERFORM relpack.doom_choose(v_tid, v_begun <> 0);
        PERFORM set_config('relpack.dooming', '', true);
    END IF;
    SELECT count(*) INTO v_count FROM relpack.doomed;
    UPDATE relpack.storage
    SET doomed_tid = applied_tid,
        -- No garbage is younger than what was applied or noticed; what a first
        -- build found is as old as its tid, which may be ahead of the clock.
        doomed_until = least(v_tid, greatest(detach_tid, applied_tid)),
        doomed_left = v_count,
        begun_until = CASE WHEN v_count > 0 THEN v_begun ELSE 0 END;
    -- Captures that no open transaction can have begun before. Where those of
    -- others are not looked at, after a month.
    IF pack_time < 'infinity' THEN
        v_open := relpack.capped_pack_time(clock_timestamp());
    END IF;
    DELETE FROM relpack.capture WHERE read_until < v_open;
    RETURN v_count;
END;
$$;

COMMENT ON FUNCTION relpack.doom(timestamptz) IS
    'Chooses the objects that a sweep with this pack time deletes, into relpack.doomed; returns how many. '
    'NULL: everything that is unreachable. Deletes nothing. Raises RP002 where a live object refers to what is chosen, and '
    'where a sweep could not delete it: large objects of another owner.';
-- +goose StatementEnd

-- sql/doom_analyze.sql
-- +goose StatementBegin
-- Statistics are their table's owner's as well (see relpack.build_reset).
CREATE OR REPLACE FUNCTION relpack.doom_analyze()
RETURNS void
LANGUAGE plpgsql
VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_packer();
    ANALYZE relpack.spared;
END;
$$;

COMMENT ON FUNCTION relpack.doom_analyze() IS
    'Step of relpack.doom(): statistics of relpack.spared, for every role that packs.';
-- +goose StatementEnd

-- sql/doom_choose.sql
-- +goose StatementBegin
-- For relpack.doom() alone, with its settings: what is chosen here while a deletion
-- has begun is not asked for its age again.
CREATE OR REPLACE FUNCTION relpack.doom_choose(pack_tid bigint, begun boolean)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_pack_lock();
    IF current_setting('relpack.dooming', true) IS DISTINCT FROM pg_current_xact_id()::text THEN
        RAISE EXCEPTION 'relpack.doom_choose() is a step of relpack.doom()' USING ERRCODE = 'RP002', HINT = 'Call relpack.doom().';
    END IF;
    PERFORM relpack.scratch_clear('relpack.spared');
    PERFORM relpack.spare_young(pack_tid);
    IF NOT begun THEN
        INSERT INTO relpack.doomed (zoid)
        SELECT detached.zoid
        FROM relpack.detached
        WHERE NOT EXISTS (SELECT FROM relpack.spared WHERE spared.zoid = detached.zoid);
    ELSE
        DELETE FROM relpack.doomed
        WHERE EXISTS (SELECT FROM relpack.spared WHERE spared.zoid = doomed.zoid)
           OR NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = doomed.zoid AND object.parent IS NULL);
        INSERT INTO relpack.doomed (zoid)
        SELECT detached.zoid
        FROM relpack.detached
        WHERE NOT EXISTS (SELECT FROM relpack.spared WHERE spared.zoid = detached.zoid)
        ON CONFLICT DO NOTHING;
    END IF;
    PERFORM relpack.set_aside_blobs();
    PERFORM relpack.require_cut_off();
    PERFORM relpack.require_blob_owner();
    PERFORM relpack.scratch_clear('relpack.spared');
END;
$$;

COMMENT ON FUNCTION relpack.doom_choose(bigint, boolean) IS
    'Step of relpack.doom(): fills relpack.doomed with what is unreachable and not spared; what a deletion that has begun '
    'left there stays unless it is spared or reachable by now.';
-- +goose StatementEnd

-- sql/doom_outdated.sql
-- +goose StatementBegin
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
-- +goose StatementEnd

-- sql/doom_spare.sql
-- +goose StatementBegin
-- What stays keeps what it refers to. As in relpack.reach_flow(), small frontiers go
-- many levels at once.
CREATE OR REPLACE FUNCTION relpack.doom_spare()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashagg = off
AS $$
DECLARE
    v_narrow bigint := (relpack.walk_limits()).narrow;
BEGIN
    IF NOT EXISTS (SELECT FROM relpack.spared WHERE stage = 'new' OFFSET v_narrow) THEN
        PERFORM relpack.doom_spare_deep();
        RETURN;
    END IF;
    WITH frontier AS MATERIALIZED (
        UPDATE relpack.spared SET stage = 'done' WHERE stage = 'new' RETURNING zoid
    )
    INSERT INTO relpack.spared (zoid, stage)
    SELECT DISTINCT target.zoid, 'new'
    FROM frontier
    CROSS JOIN LATERAL (
        SELECT zoid FROM relpack.object_inref WHERE inref = frontier.zoid OFFSET 0
    ) AS target
    CROSS JOIN LATERAL (
        SELECT FROM relpack.object WHERE zoid = target.zoid AND parent IS NULL OFFSET 0
    ) AS detached
    ON CONFLICT DO NOTHING;
END;
$$;

COMMENT ON FUNCTION relpack.doom_spare() IS
    'Step of relpack.doom(): spares the unreachable objects that newly spared ones refer to.';
-- +goose StatementEnd

-- sql/doom_spare_deep.sql
-- +goose StatementBegin
-- Little work_mem for the reason that relpack.reach_flow_deep() has.
CREATE OR REPLACE FUNCTION relpack.doom_spare_deep()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64kB'
AS $$
DECLARE
    v_limit constant bigint := (relpack.walk_limits()).walk;
    v_walked bigint[];
BEGIN
    WITH RECURSIVE walk (zoid) AS (
        SELECT zoid FROM relpack.spared WHERE stage = 'new'
        UNION
        SELECT target.zoid
        FROM walk
        CROSS JOIN LATERAL (
            SELECT zoid FROM relpack.object_inref WHERE inref = walk.zoid OFFSET 0
        ) AS target
        CROSS JOIN LATERAL (
            SELECT FROM relpack.object WHERE zoid = target.zoid AND parent IS NULL OFFSET 0
        ) AS detached
        WHERE NOT EXISTS (SELECT FROM relpack.spared WHERE spared.zoid = target.zoid OFFSET 0)
    )
    SELECT array_agg(zoid) INTO v_walked FROM (SELECT zoid FROM walk LIMIT v_limit) AS bounded;
    INSERT INTO relpack.spared (zoid, stage)
    SELECT zoid, CASE cardinality(v_walked) WHEN v_limit THEN 'new' ELSE 'done' END
    FROM unnest(v_walked) AS walked (zoid)
    ON CONFLICT (zoid) DO UPDATE SET stage = excluded.stage;
END;
$$;

COMMENT ON FUNCTION relpack.doom_spare_deep() IS
    'Step of relpack.doom(): spares what a few spared objects refer to, many levels at once.';
-- +goose StatementEnd

-- sql/doom_until.sql
-- +goose StatementBegin
-- The horizon of a history-preserving storage is its pack time: what was cut off later
-- is still referred to by revisions that are kept. Transactions that were open when it
-- was chosen had seen what it is, and later ones see more; what the captures of a
-- history-free storage tell is not asked. But before a first build nobody reported what
-- was restored: who was open while it read may have seen all of it attached. And who
-- was open when another storage ceased to refer to this one may see there that it does.
CREATE OR REPLACE FUNCTION relpack.doom_until(pack_time timestamptz)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_storage relpack.storage;
    v_until timestamptz := coalesce(pack_time, 'infinity');
    v_oldest timestamptz;
    v_looked timestamptz := (SELECT min(looked) FROM relpack.referred_by);
BEGIN
    v_storage := relpack.known_storage();
    IF NOT v_storage.keeps_history THEN
        RETURN relpack.grace_cap(pack_time);
    END IF;
    IF v_until < 'infinity' AND (NOT v_storage.horizon_capped OR relpack.time_to_tid(v_until) < v_storage.horizon_tid) THEN
        RAISE EXCEPTION 'the graph is that of another pack time: what it calls garbage may be in use at this one'
            USING ERRCODE = 'RP002', HINT = 'Run "relpack pack --dry-run" with the same --days before.';
    END IF;
    IF v_looked < 'infinity' AND v_storage.horizon_tid >= greatest(relpack.time_to_tid(v_looked), 1) THEN
        RAISE EXCEPTION 'the graph is that of a pack time after the last look at another storage, which may refer to what was cut off since'
            USING ERRCODE = 'RP002', HINT = 'Run "relpack pack --dry-run" before.';
    END IF;
    IF v_until < 'infinity' THEN
        v_oldest := relpack.grace_oldest_transaction();
    END IF;
    IF least(v_until, v_oldest, v_looked) <= v_storage.unreferred THEN
        RETURN 0;
    END IF;
    IF EXISTS (SELECT FROM relpack.capture WHERE watermark = 0 AND read_until >= v_oldest) THEN
        RETURN 0;
    END IF;
    RETURN greatest(0, least(
        CASE WHEN v_until < 'infinity' THEN v_storage.horizon_tid ELSE 9223372036854775807 END,
        CASE WHEN v_looked < 'infinity' THEN relpack.time_to_tid(v_looked) - 1 END));
END;
$$;

COMMENT ON FUNCTION relpack.doom_until(timestamptz) IS
    'Step of relpack.doom(): up to which tid a pack with this pack time deletes: relpack.grace_cap(), or in a '
    'history-preserving storage the horizon of the graph. Raises RP002 where that is later than the pack time, or than the last '
    'look at any storage in relpack.referred_by.';
-- +goose StatementEnd

-- sql/doubt.sql
-- +goose StatementBegin
-- Why the graph may no longer describe the storage. Called by every capture,
-- and by every sweep while it holds up writers: PL/pgSQL keeps the plan from
-- one call to the next, a function in SQL would not.
CREATE OR REPLACE FUNCTION relpack.doubt()
RETURNS text
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regclass('public.object_state') IS NOT NULL THEN
        -- See relpack.lock_storage(), which a role that looks need not be granted.
        LOCK TABLE public.object_state IN ACCESS SHARE MODE;
    END IF;
    RETURN (
        SELECT CASE
            WHEN storage.only_row IS NULL
                THEN 'relpack.storage has lost its row'
            WHEN storage.graph = 'doubtful'
                THEN 'a comparison with the storage is due'
            WHEN storage.reread
                THEN 'every state is to be read again'
            WHEN storage.relation IS DISTINCT FROM to_regclass('public.object_state')::oid
                THEN 'object_state is another table than before'
            WHEN storage.graph_identity IS DISTINCT FROM relpack.graph_identity()
                THEN 'relpack''s own tables were emptied, rewritten or restored'
            -- What is restored without its data. A root refers to something,
            -- unless all but itself is garbage.
            WHEN NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = 0 AND object.parent = 0)
                 OR (storage.inrefs > 0
                     AND NOT EXISTS (SELECT FROM relpack.object_inref WHERE object_inref.inref = 0)
                     AND NOT EXISTS (SELECT FROM relpack.object_inref))
                THEN 'the graph is not there any more'
            WHEN split_part(storage.trigger_identity, ' schema:', 1) IS DISTINCT FROM split_part(found.identity, ' schema:', 1)
                THEN 'relpack''s triggers were disabled or replaced for a while'
            WHEN storage.trigger_identity IS DISTINCT FROM found.identity
                THEN 'rights on the schema relpack were changed, or it or a table of it was renamed for a while'
            WHEN storage.trigger_identity LIKE '%subscribed:%'
                THEN 'object_state receives rows by logical replication, which fires no triggers'
            WHEN storage.column_identity IS DISTINCT FROM relpack.column_identity()
                THEN 'columns of object_state were altered'
            -- A TRUNCATE gives another file too, and has left an event.
            WHEN storage.filenode IS DISTINCT FROM pg_relation_filenode('public.object_state')::oid
                 AND NOT EXISTS (SELECT FROM relpack.write_event WHERE kind = 'truncated')
                THEN 'object_state was rewritten'
            WHEN storage.watermark > coalesce(relpack.newest_tid(), 0)
                THEN 'the storage has gone back to an earlier transaction'
            END
        FROM (SELECT relpack.trigger_identity() AS identity) AS found
        LEFT JOIN relpack.storage ON true);
END;
$$;

COMMENT ON FUNCTION relpack.doubt() IS
    'Why the graph may not match the storage; NULL when it does. '
    '"relpack pack" then compares every object''s tid and decodes what differs.';
-- +goose StatementEnd

-- sql/drop_triggers.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.drop_triggers()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
BEGIN
    IF to_regclass('public.object_state') IS NOT NULL THEN
        DROP TRIGGER IF EXISTS relpack_lock_writer ON public.object_state;
        DROP TRIGGER IF EXISTS relpack_report_insert ON public.object_state;
        DROP TRIGGER IF EXISTS relpack_report_update ON public.object_state;
        DROP TRIGGER IF EXISTS relpack_report_delete ON public.object_state;
        DROP TRIGGER IF EXISTS relpack_report_truncate ON public.object_state;
        DROP TRIGGER IF EXISTS relpack_report_move ON public.object_state;
        DROP TRIGGER IF EXISTS relpack_report_applied ON public.object_state;
    END IF;
    DROP TRIGGER IF EXISTS relpack_guard_object ON relpack.object;
    DROP TRIGGER IF EXISTS relpack_guard_inref ON relpack.object_inref;
    DROP TRIGGER IF EXISTS relpack_guard_missing ON relpack.missing;
    DROP TRIGGER IF EXISTS relpack_guard_write_event ON relpack.write_event;
    DROP TRIGGER IF EXISTS relpack_guard_pending ON relpack.pending;
    DROP TRIGGER IF EXISTS relpack_guard_suspect ON relpack.suspect;
    DROP TRIGGER IF EXISTS relpack_guard_problem ON relpack.problem;
    DROP TRIGGER IF EXISTS relpack_guard_foreign_reference ON relpack.foreign_reference;
    DROP TRIGGER IF EXISTS relpack_guard_capture ON relpack.capture;
    DROP TRIGGER IF EXISTS relpack_unreferred ON relpack.referred_by;
    DROP TRIGGER IF EXISTS relpack_unreferred_truncate ON relpack.referred_by;
END;
$$;

COMMENT ON FUNCTION relpack.drop_triggers() IS
    'Removes relpack''s triggers: the site writes as if relpack were not installed, and the next pack compares. '
    'Call it with a lock_timeout.';
-- +goose StatementEnd

-- sql/forget_missing.sql
-- +goose StatementBegin
-- Nothing hangs on a node that is detached, so that it can go without a walk.
-- Only where nothing is left to apply: what is still to be read may refer to it.
-- One without a node tells of a graph that is lost (relpack.graph_lost).
CREATE OR REPLACE FUNCTION relpack.forget_missing()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
AS $$
DECLARE
    v_limit constant bigint := (relpack.walk_limits()).together;
    v_gone bigint[];
    v_objects bigint;
    v_inrefs bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM relpack.missing) OR EXISTS (SELECT FROM relpack.pending) THEN
        RETURN 0;
    END IF;
    v_gone := ARRAY(
        SELECT missing.zoid
        FROM relpack.missing
        CROSS JOIN LATERAL (
            SELECT object.parent FROM relpack.object WHERE object.zoid = missing.zoid OFFSET 0
        ) AS node
        WHERE node.parent IS NULL
        LIMIT v_limit);
    IF v_gone = '{}' THEN
        RETURN 0;
    END IF;
    DELETE FROM relpack.object_inref WHERE inref = ANY (v_gone);
    GET DIAGNOSTICS v_inrefs = ROW_COUNT;
    DELETE FROM relpack.object WHERE zoid = ANY (v_gone);
    GET DIAGNOSTICS v_objects = ROW_COUNT;
    DELETE FROM relpack.foreign_reference WHERE inref = ANY (v_gone);
    DELETE FROM relpack.problem WHERE zoid = ANY (v_gone);
    DELETE FROM relpack.doomed WHERE zoid = ANY (v_gone);
    DELETE FROM relpack.missing WHERE zoid = ANY (v_gone);
    INSERT INTO relpack.dangling (zoid)
    SELECT gone.zoid
    FROM unnest(v_gone) AS gone (zoid)
    WHERE EXISTS (SELECT FROM relpack.object_inref WHERE object_inref.zoid = gone.zoid OFFSET 0)
    ON CONFLICT DO NOTHING;
    UPDATE relpack.storage
    SET objects = objects - v_objects, inrefs = inrefs - v_inrefs, doomed_tid = 0;
    RETURN cardinality(v_gone);
END;
$$;

COMMENT ON FUNCTION relpack.forget_missing() IS
    'Last step of relpack.reach(): nodes of vanished rows that nothing live refers to leave the graph, some at a time; returns how many.';
-- +goose StatementEnd

-- sql/forget_referrer.sql
-- +goose StatementBegin
-- The grace of what that storage referred to begins now: relpack.note_unreferred().
-- Databases of several servers may have one name.
CREATE OR REPLACE FUNCTION relpack.forget_referrer(holder text, origin text DEFAULT NULL)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_pack_lock();
    DELETE FROM relpack.referred_by AS known
    WHERE known.holder = forget_referrer.holder
      AND (forget_referrer.origin IS NULL OR known.origin = forget_referrer.origin);
    RETURN FOUND;
END;
$$;

COMMENT ON FUNCTION relpack.forget_referrer(text, text) IS
    'Strikes a storage that is gone for good off relpack.referred_by, by its name in the configuration file; '
    'with origin only the database of that name that relpack.origin() tells there. False: none was recorded.';
-- +goose StatementEnd

-- sql/fresh_state.sql
-- +goose StatementBegin
-- What a sweep that decodes has to look at before it may commit. With the rights
-- of who asks: states are shown to nobody who may not read them in object_state.
-- No view, which would keep its owner from altering or dropping the table.
CREATE OR REPLACE FUNCTION relpack.fresh_state()
RETURNS TABLE (zoid bigint, tid bigint, state bytea)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
BEGIN
    RETURN QUERY
    SELECT stored.zoid, stored.tid, stored.state
    FROM relpack.stored()
    WHERE stored.tid > (SELECT storage.applied_tid FROM relpack.storage)
    UNION ALL
    SELECT stored.zoid, stored.tid, stored.state
    FROM relpack.write_event
    JOIN relpack.stored() ON stored.zoid = write_event.zoid;
END;
$$;

COMMENT ON FUNCTION relpack.fresh_state() IS
    'Objects written since the graph was brought up to date, with their states as stored now; one may be in it twice.';
-- +goose StatementEnd

-- sql/grace_began.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.grace_began(pack_time timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT unreferred
        FROM relpack.storage
        WHERE isfinite(unreferred)
          AND unreferred >= least(relpack.capped_pack_time(pack_time), (SELECT min(looked) FROM relpack.referred_by)));
END;
$$;

COMMENT ON FUNCTION relpack.grace_began(timestamptz) IS
    'When another storage ceased to refer to this one, if nothing can be deleted with this pack time because of that '
    '(relpack.grace_cap); else NULL.';
-- +goose StatementEnd

-- sql/grace_cap.sql
-- +goose StatementBegin
-- What may be deleted, as a tid. A commit gets its tid before it becomes
-- visible: of a transaction that began in between, its start does not tell
-- whether it saw what was cut off attached. That it began after the states
-- were read does. Where none is open nothing is held, and a clock that was set
-- back doesn't matter. What is younger than the last look at another storage may
-- be referred to there by now. What another one has ceased to refer to was in use
-- until then: nothing of it goes before the grace is over, while a transaction is
-- open that began before, or without a look at the others since.
CREATE OR REPLACE FUNCTION relpack.grace_cap(pack_time timestamptz)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_until timestamptz := coalesce(pack_time, 'infinity');
    v_oldest timestamptz;
    v_looked timestamptz := (SELECT min(looked) FROM relpack.referred_by);
BEGIN
    IF v_until < 'infinity' THEN
        v_oldest := relpack.grace_oldest_transaction();
        v_until := least(v_until, clock_timestamp(), v_oldest);
    END IF;
    IF least(v_until, v_looked) <= (SELECT unreferred FROM relpack.storage) THEN
        RETURN 0;
    END IF;
    RETURN greatest(0, least(
        relpack.time_to_tid(v_until),
        CASE WHEN v_looked < 'infinity' THEN relpack.time_to_tid(v_looked) - 1 END,
        (SELECT min(capture.watermark) - 1
         FROM relpack.capture
         WHERE capture.read_until >= v_oldest)));
END;
$$;

COMMENT ON FUNCTION relpack.grace_cap(timestamptz) IS
    'Up to which tid a pack with this pack time deletes. '
    'That is the tid of relpack.capped_pack_time(), but less than that of any capture whose states were read after '
    'the oldest open transaction of other clients began, and less than that of the last look at any storage in '
    'relpack.referred_by. '
    '0 where another storage has ceased to refer to this one no earlier than that.';
-- +goose StatementEnd

-- sql/grace_oldest_transaction.sql
-- +goose StatementBegin
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
-- +goose StatementEnd

-- sql/graph_identity.sql
-- +goose StatementBegin
-- Of each table whose rows keep something alive or undeleted, or say what is still
-- to be done, and which relpack itself gives no other file between a first build's
-- beginning and the next. TRUNCATE, a restore and VACUUM FULL each give a table another file; a dump
-- that is restored into a cluster made alike, where even oids and files are the
-- same, meets another system identifier.
CREATE OR REPLACE FUNCTION relpack.graph_identity()
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN concat_ws(' ',
        CASE WHEN has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')
             THEN (SELECT system_identifier FROM pg_control_system()) END,
        pg_relation_filenode('relpack.object'),
        pg_relation_filenode('relpack.object_inref'),
        pg_relation_filenode('relpack.missing'),
        pg_relation_filenode('relpack.write_event'),
        pg_relation_filenode('relpack.pending'),
        pg_relation_filenode('relpack.suspect'),
        pg_relation_filenode('relpack.problem'),
        pg_relation_filenode('relpack.foreign_reference'),
        pg_relation_filenode('relpack.scan_range'),
        pg_relation_filenode('relpack.fill_range'));
END;
$$;

COMMENT ON FUNCTION relpack.graph_identity() IS
    'By what the tables of the graph are recognised: the cluster and their files. '
    'Another one than in relpack.storage.graph_identity means that they may have been emptied, rewritten or restored.';
-- +goose StatementEnd

-- sql/graph_lost.sql
-- +goose StatementBegin
-- A graph of which a part is missing can't be mended by comparing: what is gone
-- would look like garbage. It is counted only when there is a reason to.
CREATE OR REPLACE FUNCTION relpack.graph_lost()
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_storage relpack.storage;
    v_objects bigint;
    v_inrefs bigint;
BEGIN
    SELECT * INTO v_storage FROM relpack.storage;
    IF NOT FOUND OR v_storage.graph = 'none' THEN
        RETURN NULL;
    END IF;
    IF v_storage.graph NOT IN ('current', 'doubtful') THEN
        RETURN CASE WHEN v_storage.graph_identity <> relpack.graph_identity()
                    THEN 'relpack''s own tables were emptied, rewritten or restored while the graph was being built' END;
    END IF;
    IF EXISTS (
        SELECT
        FROM relpack.missing
        WHERE NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = missing.zoid)) THEN
        RETURN 'the graph has lost the nodes of missing objects';
    END IF;
    IF NOT EXISTS (SELECT FROM relpack.class WHERE id = 1) THEN
        RETURN 'relpack.class has lost its rows';
    END IF;
    IF relpack.doubt() IS NULL AND NOT EXISTS (SELECT FROM relpack.write_event WHERE kind = 'truncated') THEN
        RETURN NULL;
    END IF;
    v_objects := (SELECT count(*) FROM relpack.object);
    v_inrefs := (SELECT count(*) FROM relpack.object_inref);
    RETURN CASE
        WHEN v_objects <> v_storage.objects
            THEN format('relpack.object has %s row%s, not %s', v_objects, CASE WHEN v_objects <> 1 THEN 's' END, v_storage.objects)
        WHEN v_inrefs <> v_storage.inrefs
            THEN format('relpack.object_inref has %s row%s, not %s', v_inrefs, CASE WHEN v_inrefs <> 1 THEN 's' END, v_storage.inrefs)
        END;
END;
$$;

COMMENT ON FUNCTION relpack.graph_lost() IS
    'Which part of the graph is not there any more (restored without its data, emptied, truncated): it has to be '
    'built again. NULL when all of it is there. Counts its rows when the graph may not match the storage, and else takes no time.';
-- +goose StatementEnd

-- sql/guard_graph.sql
-- +goose StatementBegin
-- BEFORE DELETE and BEFORE TRUNCATE trigger of the tables of the graph, and of those
-- that say what is to be looked at or keeps something from being deleted: what is
-- missing there looks like garbage. pg_locks holds up the lock manager: it is asked
-- once in a transaction.
CREATE OR REPLACE FUNCTION relpack.guard_graph()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('relpack.guarded', true) = transaction_timestamp()::text THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (
        SELECT
        FROM pg_locks
        WHERE locktype = 'advisory'
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND classid = 4294967295
          AND objid = 4294967294
          AND objsubid = 1
          AND pid = pg_backend_pid()
          AND granted) THEN
        RAISE EXCEPTION '% on relpack.%: only the session that holds the pack lock may do that', tg_op, tg_table_name
            USING ERRCODE = 'RP002', HINT = 'To start again, run "relpack pack --init".';
    END IF;
    PERFORM set_config('relpack.guarded', transaction_timestamp()::text, true);
    RETURN NULL;
END;
$$;

COMMENT ON FUNCTION relpack.guard_graph() IS
    'Trigger function: refuses DELETE and TRUNCATE of relpack''s tables to everybody but the session that holds the pack lock.';
-- +goose StatementEnd

-- sql/hangs_with.sql
-- +goose StatementBegin
-- Referrers of garbage are garbage, or it would not be any: the walk up meets no
-- other object. UNION keeps each once; LIMIT ends it.
CREATE OR REPLACE FUNCTION relpack.hangs_with(
    start bigint, most integer DEFAULT 100000,
    OUT objects bigint, OUT bytes bigint, OUT deletable_after timestamptz, OUT complete boolean)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
BEGIN
    WITH RECURSIVE above AS (
        SELECT object.zoid
        FROM relpack.object
        WHERE object.zoid = start AND object.parent IS NULL
        UNION
        SELECT referrer.zoid
        FROM above
        CROSS JOIN LATERAL (
            SELECT object_inref.inref
            FROM relpack.object_inref
            WHERE object_inref.zoid = above.zoid
            OFFSET 0
        ) AS edge
        CROSS JOIN LATERAL (
            SELECT object.zoid
            FROM relpack.object
            WHERE object.zoid = edge.inref AND object.parent IS NULL
            OFFSET 0
        ) AS referrer
    )
    SELECT count(*), coalesce(sum(unreachable.size), 0),
           CASE WHEN count(*) > 0 THEN
               greatest(relpack.tid_to_time(max(unreachable.since)), (SELECT unreferred FROM relpack.storage),
                        -- An earlier pack time has more of the old revisions.
                        (SELECT relpack.tid_to_time(horizon_tid) FROM relpack.storage WHERE keeps_history AND horizon_tid > 0))
               + interval '24 hours'
           END,
           count(*) <= most
    INTO objects, bytes, deletable_after, complete
    FROM (SELECT above.zoid FROM above LIMIT most::bigint + 1) AS met
    CROSS JOIN LATERAL (
        SELECT detached.size, detached.since
        FROM relpack.detached
        WHERE detached.zoid = met.zoid
        OFFSET 0
    ) AS unreachable;
    objects := least(objects, most);
    IF NOT complete THEN
        deletable_after := NULL;
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.hangs_with(bigint, integer) IS
    'How many unreachable objects refer to an unreachable one, directly or through others, itself included, and their '
    'bytes. '
    'deletable_after: from when a pack with the default grace of one day deletes it: all of these must be beyond it; '
    'in a history-preserving storage a day after the last pack time at the latest. '
    'complete: false where there are more than "most"; then nobody knows from when.';
-- +goose StatementEnd

-- sql/held_by.sql
-- +goose StatementBegin
-- Called after relpack.doom() with the same pack time.
CREATE OR REPLACE FUNCTION relpack.held_by(pack_time timestamptz)
RETURNS text
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    v_until bigint;
    v_holder text;
BEGIN
    SELECT doomed_until
    INTO v_until
    FROM relpack.storage
    WHERE doomed_until < least(relpack.time_to_tid(pack_time), detach_tid);
    IF v_until IS NULL THEN
        RETURN NULL;
    END IF;
    v_holder := relpack.oldest_client();
    RETURN CASE
        WHEN v_holder IS NOT NULL AND EXISTS (
            SELECT
            FROM relpack.detached
            WHERE detached.since > v_until AND detached.since <= relpack.time_to_tid(pack_time)) THEN v_holder
        END;
END;
$$;

COMMENT ON FUNCTION relpack.held_by(timestamptz) IS
    'Names the client whose open transaction keeps unreachable objects that are older than this pack time; '
    'NULL: there are none, or no such client.';
-- +goose StatementEnd

-- sql/highest_zoid.sql
-- +goose StatementBegin
-- A row that vanished may have been the highest; its node is still there.
CREATE OR REPLACE FUNCTION relpack.highest_zoid()
RETURNS bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN greatest((SELECT max(zoid) FROM relpack.stored()), (SELECT max(zoid) FROM relpack.object), 0);
END;
$$;

COMMENT ON FUNCTION relpack.highest_zoid() IS
    'The highest zoid that an object of this storage can refer to: stored, or of a node. '
    'For a transaction that has called relpack.lock_storage().';
-- +goose StatementEnd

-- sql/history.sql
-- +goose StatementBegin
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
-- +goose StatementEnd

-- sql/history_by_class.sql
-- +goose StatementBegin
-- Of states only the sizes are read, which stand in the rows.
CREATE OR REPLACE FUNCTION relpack.history_by_class()
RETURNS TABLE (class text, objects bigint, bytes bigint, revisions bigint, history bigint)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
SET enable_hashjoin = on
SET enable_seqscan = on
AS $$
BEGIN
    RETURN QUERY
    SELECT known.label, found.objects, found.bytes, found.revisions, found.history
    FROM (
        SELECT object.class AS id,
               count(*) FILTER (WHERE stored.tid >= object.tid) AS objects,
               coalesce(sum(octet_length(stored.state)) FILTER (WHERE stored.tid >= object.tid), 0) AS bytes,
               count(*) FILTER (WHERE stored.tid < object.tid) AS revisions,
               coalesce(sum(octet_length(stored.state)) FILTER (WHERE stored.tid < object.tid), 0) AS history
        FROM relpack.stored()
        JOIN relpack.object ON object.zoid = stored.zoid
        WHERE stored.tid <= (SELECT storage.applied_tid FROM relpack.storage)
        GROUP BY object.class
    ) AS found
    JOIN relpack.class AS known ON known.id = found.id
    ORDER BY found.history DESC, known.label;
END;
$$;

COMMENT ON FUNCTION relpack.history_by_class() IS
    'Which classes have the most history, as of the last pack; garbage included. It reads all of object_state, but no state. '
    'objects and bytes: newest revisions; revisions and history: the older ones, and bytes of their states.';
-- +goose StatementEnd

-- sql/hold_missing.sql
-- +goose StatementBegin
-- A row that is not stored any more leaves its node as it was, with the
-- references that are recorded: whether anything live refers to it is known once
-- relpack.reach() has settled, and then relpack.forget_missing() decides. What is
-- taken off the list of what was examined, apply leaves alone. Nobody may
-- delete by an older choice what has vanished.
CREATE OR REPLACE FUNCTION relpack.hold_missing()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM relpack.missing) THEN
        DELETE FROM relpack.missing
        USING relpack.examined_object AS examined
        WHERE missing.zoid = examined.zoid AND examined.tid IS NOT NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM relpack.examined_object WHERE tid IS NULL) THEN
        RETURN;
    END IF;
    INSERT INTO relpack.missing (zoid)
    SELECT examined.zoid
    FROM relpack.examined_object AS examined
    CROSS JOIN LATERAL (
        SELECT FROM relpack.object WHERE zoid = examined.zoid OFFSET 0
    ) AS node
    WHERE examined.tid IS NULL
    ORDER BY examined.zoid
    ON CONFLICT DO NOTHING;
    DELETE FROM relpack.doomed
    USING relpack.examined_object AS examined
    WHERE doomed.zoid = examined.zoid AND examined.tid IS NULL;
    DELETE FROM relpack.examined_object AS examined
    USING relpack.missing
    WHERE missing.zoid = examined.zoid AND examined.tid IS NULL AND NOT missing.accepted;
    -- What was given up goes now.
    DELETE FROM relpack.missing
    USING relpack.examined_object AS examined
    WHERE missing.zoid = examined.zoid AND missing.accepted;
END;
$$;

COMMENT ON FUNCTION relpack.hold_missing() IS
    'Step of relpack.apply(): nodes of rows that vanished stay as they are and go to relpack.missing; '
    'those of rows that are back leave it.';
-- +goose StatementEnd

-- sql/horizon_lower.sql
-- +goose StatementBegin
-- What other storages are told that this one refers to are the references in the graph,
-- and an undo brings back what any revision that is stored refers to, until it is
-- trimmed.
CREATE OR REPLACE FUNCTION relpack.horizon_lower()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_storage relpack.storage;
BEGIN
    PERFORM relpack.require_pack_lock(history => true);
    v_storage := relpack.known_storage();
    IF v_storage.horizon_tid <= v_storage.cleared_tid OR v_storage.graph NOT IN ('none', 'current', 'doubtful') THEN
        RETURN false;
    END IF;
    PERFORM relpack.horizon_set(v_storage.cleared_tid, v_storage.horizon_capped);
    RETURN true;
END;
$$;

COMMENT ON FUNCTION relpack.horizon_lower() IS
    'Moves the horizon of the graph of a history-preserving storage down to where its history is trimmed, so that the '
    'references of all revisions that are stored count. Tells whether that was lower: then what is in relpack.pending is '
    'to be read.';
-- +goose StatementEnd

-- sql/horizon_move.sql
-- +goose StatementBegin
-- The pack time of a history-preserving storage, and the graph that belongs to it. What
-- was cut off since another storage of the file was looked at may be referred to there by
-- now: as a history-free storage dates what it finds cut off, this one looks no further.
CREATE OR REPLACE FUNCTION relpack.horizon_move(pack_time timestamptz, OUT until_tid bigint, OUT listed bigint)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_storage relpack.storage;
    v_looked timestamptz := (SELECT min(looked) FROM relpack.referred_by);
BEGIN
    PERFORM relpack.trim_held();
    until_tid := relpack.trim_until(pack_time);
    v_storage := relpack.known_storage();
    IF v_storage.graph IN ('current', 'doubtful') THEN
        until_tid := least(until_tid, v_storage.listed_tid);
    END IF;
    IF v_looked < 'infinity' THEN
        until_tid := greatest(0, least(until_tid, relpack.time_to_tid(v_looked) - 1));
    END IF;
    listed := relpack.horizon_set(until_tid, coalesce(pack_time, 'infinity') < 'infinity');
END;
$$;

COMMENT ON FUNCTION relpack.horizon_move(timestamptz) IS
    'Fixes up to which tid a pack of a history-preserving storage with this pack time goes (until_tid). That is '
    'relpack.trim_until(), but not beyond what was listed, nor the last look at any storage in relpack.referred_by. Has the '
    'objects read again of which it keeps other revisions than the graph knows: so many (listed). For the session that '
    'holds the pack lock.';
-- +goose StatementEnd

-- sql/horizon_set.sql
-- +goose StatementBegin
-- What is to be read again is listed in the transaction that moves the horizon: whatever
-- is not in relpack.pending has the references of what is kept up to horizon_tid. Another
-- horizon keeps other revisions only of objects that have one in between, besides
-- others. Up to where the history is trimmed, each horizon keeps all that is left, but for
-- the objects that a trim left alone: to move below that and back, as beside a transaction
-- that is open for long, costs next to nothing. A DELETE was judged by the horizon that it
-- found (relpack.trigger_delete()): by an earlier one what is older may be kept instead. So
-- none may be in flight when the horizon moves back: those that the list has not seen yet
-- have deleted rows of objects that are on it. Nobody waits while the list is made, and
-- it is not made in vain where somebody writes for long.
CREATE OR REPLACE FUNCTION relpack.horizon_set(goal_tid bigint, capped boolean)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_storage relpack.storage;
    v_listed bigint := 0;
    v_back boolean;
    v_free boolean;
BEGIN
    PERFORM relpack.require_pack_lock(history => true);
    PERFORM relpack.lock_storage(history => true);
    v_storage := relpack.known_storage();
    IF v_storage.graph NOT IN ('none', 'current', 'doubtful') THEN
        RAISE EXCEPTION 'the graph is not built yet'
            USING ERRCODE = 'RP002', HINT = 'Run "relpack pack --dry-run": it builds the graph and deletes nothing.';
    END IF;
    v_back := v_storage.graph <> 'none' AND goal_tid < v_storage.horizon_tid;
    IF v_back THEN
        BEGIN
            v_free := relpack.try_writers_lock();
            RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'lets go of the lock';
        EXCEPTION WHEN SQLSTATE 'RP003' THEN
            NULL;
        END;
        IF NOT v_free THEN
            RAISE EXCEPTION 'writers are in the way' USING ERRCODE = 'lock_not_available';
        END IF;
    END IF;
    IF v_storage.graph <> 'none'
       AND (v_storage.horizon_tid <> goal_tid OR v_storage.cleared_tid < goal_tid OR EXISTS (SELECT FROM relpack.to_trim)) THEN
        INSERT INTO relpack.pending (zoid)
        SELECT DISTINCT changed.zoid
        FROM relpack.stored() AS changed
        WHERE changed.tid > greatest(least(v_storage.horizon_tid, goal_tid), v_storage.cleared_tid)
          AND changed.tid <= greatest(v_storage.horizon_tid, goal_tid)
          AND NOT EXISTS (SELECT FROM relpack.pending WHERE pending.zoid = changed.zoid OFFSET 0) -- most are; one by one
          AND EXISTS (SELECT FROM relpack.stored() AS another WHERE another.zoid = changed.zoid AND another.tid <> changed.tid)
        UNION
        SELECT few.zoid FROM relpack.to_trim AS few
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS v_listed = ROW_COUNT;
    END IF;
    IF v_back THEN
        IF NOT relpack.try_writers_lock() THEN
            RAISE EXCEPTION 'writers are in the way' USING ERRCODE = 'lock_not_available';
        END IF;
        -- Who called this in a transaction of his own, and stops there, must not hold the site.
        PERFORM set_config('idle_in_transaction_session_timeout', '2s', true);
    END IF;
    UPDATE relpack.storage
    SET horizon_tid = goal_tid,
        horizon_capped = capped,
        doomed_tid = 0;
    RETURN v_listed;
END;
$$;

COMMENT ON FUNCTION relpack.horizon_set(bigint, boolean) IS
    'Step of relpack.horizon_move() and relpack.horizon_lower(): moves the horizon of the graph to goal_tid. Lists in '
    'relpack.pending the objects of which it keeps other revisions; returns how many. capped: see relpack.storage. '
    'To move it back takes the writers'' lock until the transaction ends, or raises lock_not_available.';
-- +goose StatementEnd

-- sql/in_the_way.sql
-- +goose StatementBegin
-- A write to object_state in flight, of a session or a prepared transaction; a
-- commit of RelStorage before 3.0, which locks the table, or where history is kept two
-- others; or a lock on one of relpack's tables (pg_dump has one on each).
CREATE OR REPLACE FUNCTION relpack.in_the_way()
RETURNS text
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT format('%s%s) has kept its transaction open for %s s (%s)',
                      'pid ' || pid || ' (',
                      coalesce(nullif(application, ''), username, '?') || CASE WHEN pid IS NULL THEN ' (of ' || username ELSE '' END,
                      coalesce(round(extract(epoch FROM clock_timestamp() - xact_start))::text, '?'),
                      left(coalesce(query, ''), 100))
        FROM (
            SELECT pid, application, username, xact_start, query
            FROM relpack.writer
            UNION ALL
            SELECT locks.pid, coalesce(activity.application_name, 'prepared transaction ' || prepared.gid),
                   coalesce(activity.usename, prepared.owner), coalesce(activity.xact_start, prepared.prepared),
                   coalesce(activity.query, format('ROLLBACK PREPARED %L', prepared.gid))
            FROM pg_locks AS locks
            JOIN pg_class AS class ON class.oid = locks.relation
            LEFT JOIN pg_stat_activity AS activity ON activity.pid = locks.pid
            LEFT JOIN LATERAL (
                SELECT xact.gid, xact.owner, xact.prepared
                FROM pg_locks AS own
                JOIN pg_prepared_xacts AS xact ON xact.transaction = own.transactionid
                WHERE locks.pid IS NULL AND own.pid IS NULL AND own.virtualtransaction = locks.virtualtransaction
                LIMIT 1
            ) AS prepared ON true
            WHERE (class.relnamespace = 'relpack'::regnamespace
                   OR (class.oid IN ('public.object_state'::regclass, to_regclass('public.current_object'),
                                     to_regclass('public.transaction'))
                       AND locks.mode IN ('ShareLock', 'AccessExclusiveLock')))
              AND locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
              AND locks.granted
        ) AS holder
        WHERE pid IS DISTINCT FROM pg_backend_pid()
        ORDER BY xact_start
        LIMIT 1);
END;
$$;

COMMENT ON FUNCTION relpack.in_the_way() IS
    'Names who has held for longest what relpack waits for; NULL: nobody does at this moment.';
-- +goose StatementEnd

-- sql/keeps_history.sql
-- +goose StatementBegin
-- A history-preserving storage has a row of object_state for each revision. Told by
-- the catalogs alone, which everybody may read. Nearly every function asks, many a
-- time in a pack: each name goes by an index, where a join would read all of pg_class.
CREATE OR REPLACE FUNCTION relpack.keeps_history()
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (
            SELECT
            FROM pg_class
            WHERE relname IN ('current_object', 'transaction') AND relnamespace = 'public'::regnamespace AND relkind = 'r')
        OR EXISTS (
            SELECT
            FROM pg_attribute
            WHERE attrelid = (SELECT oid FROM pg_class WHERE relname = 'object_state' AND relnamespace = 'public'::regnamespace)
              AND attname = 'prev_tid' AND NOT attisdropped);
END;
$$;

COMMENT ON FUNCTION relpack.keeps_history() IS
    'Whether the storage in this database is a history-preserving one: object_state has a column prev_tid, or there is '
    'a table current_object or transaction beside it.';
-- +goose StatementEnd

-- sql/known_storage.sql
-- +goose StatementBegin
-- The row is gone where somebody deleted it, or restored the database without the data
-- of relpack's tables: then nothing is known of the graph. relpack.try_pack_lock()
-- begins another one. A record: in a dump without relpack's tables the type of the row is
-- missing, and the functions are to be restored all the same.
CREATE OR REPLACE FUNCTION relpack.known_storage()
RETURNS record
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_storage relpack.storage;
BEGIN
    SELECT * INTO v_storage FROM relpack.storage;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'relpack.storage has lost its row: nothing is known of the graph'
            USING ERRCODE = 'RP002', HINT = 'Run "relpack pack": it builds the graph again.';
    END IF;
    RETURN v_storage;
END;
$$;

COMMENT ON FUNCTION relpack.known_storage() IS
    'The row of relpack.storage; raises RP002 where it is lost.';
-- +goose StatementEnd

-- sql/large_object_bytes.sql
-- +goose StatementBegin
-- Who may not read pg_largeobject, where only a superuser may as a rule, may still
-- open a large object of his own and look where it ends. Each is closed again: a
-- transaction has room for so many open ones only. Who may read that table and owns none
-- looks at the last page of each.
CREATE OR REPLACE FUNCTION relpack.large_object_bytes(large oid[])
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_large oid;
    v_opened integer;
    v_bytes bigint := 0;
BEGIN
    IF EXISTS (
        SELECT
        FROM unnest(large) AS asked (oid)
        CROSS JOIN LATERAL (
            SELECT lomacl, lomowner FROM pg_largeobject_metadata WHERE pg_largeobject_metadata.oid = asked.oid OFFSET 0
        ) AS known
        WHERE NOT EXISTS (
            SELECT
            FROM aclexplode(coalesce(known.lomacl, acldefault('L', known.lomowner))) AS granted
            WHERE granted.privilege_type = 'SELECT'
              AND (granted.grantee = 0 OR pg_has_role(granted.grantee, 'USAGE')))) THEN
        IF NOT has_table_privilege('pg_largeobject', 'SELECT') THEN
            RETURN NULL;
        END IF;
        RETURN (
            SELECT coalesce(sum(last.pageno * (current_setting('block_size')::bigint / 4) + octet_length(last.data)), 0)::bigint
            FROM unnest(large) AS asked (oid)
            CROSS JOIN LATERAL (
                SELECT pg_largeobject.pageno, pg_largeobject.data
                FROM pg_largeobject
                WHERE pg_largeobject.loid = asked.oid
                ORDER BY pg_largeobject.pageno DESC
                LIMIT 1
            ) AS last);
    END IF;
    FOREACH v_large IN ARRAY large LOOP
        v_opened := lo_open(v_large, 262144); -- INV_READ
        v_bytes := v_bytes + lo_lseek64(v_opened, 0, 2); -- SEEK_END
        PERFORM lo_close(v_opened);
    END LOOP;
    RETURN v_bytes;
END;
$$;

COMMENT ON FUNCTION relpack.large_object_bytes(oid[]) IS
    'How many bytes these large objects have, which exist. NULL where this role may not read one of them.';
-- +goose StatementEnd

-- sql/line_up.sql
-- +goose StatementBegin
-- On a site so busy that some writer always has the writers' lock, we line up
-- once for RelStorage's own commit lock, as a committer does, and try while nobody
-- else can commit. Never with rows locked: whoever has the commit lock may wait
-- for one of them, has begun to wait before us, and would be the deadlock's victim.
CREATE OR REPLACE FUNCTION relpack.line_up(patience interval DEFAULT '200 ms')
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = 0
AS $$
DECLARE
    v_until timestamptz;
BEGIN
    IF relpack.lock_protocol() <> 'advisory' THEN
        RETURN false;
    END IF;
    PERFORM set_config(
        'lock_timeout',
        -- 0 would be: without end.
        greatest(1, ceil(extract(epoch FROM least(patience, current_setting('deadlock_timeout')::interval / 2)) * 1000))::text,
        true);
    PERFORM pg_advisory_xact_lock(-1);
    v_until := clock_timestamp() + interval '30 ms';
    WHILE NOT pg_try_advisory_xact_lock(1919249520, 1) LOOP
        IF clock_timestamp() >= v_until THEN
            -- Rolls back to before the call: the commit lock is released.
            RAISE EXCEPTION USING ERRCODE = 'lock_not_available';
        END IF;
        PERFORM pg_sleep(0.001);
    END LOOP;
    PERFORM relpack.commit_locally();
    RETURN true;
EXCEPTION
    WHEN lock_not_available THEN
        RETURN false;
END;
$$;

COMMENT ON FUNCTION relpack.line_up(interval) IS
    'Waits for RelStorage''s commit lock for so long at most, and takes the writers'' lock exclusively while it has '
    'that: both until the transaction ends, or neither (false). '
    'Storages before RelStorage 3.5 have another commit lock: false.';
-- +goose StatementEnd

-- sql/list_ranges.sql
-- +goose StatementBegin
-- Half a million objects each, and two at least, by some 30,000 of them.
CREATE OR REPLACE FUNCTION relpack.list_ranges()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_ranges bigint;
    v_sample float8;
BEGIN
    SELECT greatest(objects / 500000, 2), least(3e6 / greatest(objects, 1), 100)
    INTO v_ranges, v_sample
    FROM relpack.storage;
    INSERT INTO relpack.fill_range (first_zoid, last_zoid)
    SELECT edge, coalesce(lead(edge) OVER (ORDER BY edge) - 1, 9223372036854775807)
    FROM (
        SELECT '-9223372036854775808'::bigint AS edge
        UNION
        SELECT unnest(percentile_disc(ARRAY(SELECT nth::float8 / v_ranges FROM generate_series(1, v_ranges - 1) AS nth))
                      WITHIN GROUP (ORDER BY zoid))
        FROM (
            SELECT zoid FROM relpack.staged_object TABLESAMPLE SYSTEM (v_sample)
            UNION ALL
            SELECT zoid FROM relpack.object TABLESAMPLE SYSTEM (v_sample)
        ) AS sampled
    ) AS edges
    WHERE edge IS NOT NULL;
END;
$$;

COMMENT ON FUNCTION relpack.list_ranges() IS
    'Step of relpack.build_step() and relpack.reshape(): lists the ranges of zoids whose parents are chosen one after '
    'the other, in relpack.fill_range.';
-- +goose StatementEnd

-- sql/listed_blobs.sql
-- +goose StatementBegin
-- A hole in the live graph keeps its file: a live object refers to it, and the
-- row may be put back. One that is back is listed, to be struck off, whether its file
-- was missed or not.
CREATE OR REPLACE FUNCTION relpack.listed_blobs(
    after_zoid bigint, after_tid bigint, batch integer,
    OUT zoid bigint, OUT tid bigint, OUT missed boolean)
RETURNS SETOF record
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $$
DECLARE
    v_oldest timestamptz;
BEGIN
    PERFORM relpack.lock_storage();
    IF relpack.keeps_history() THEN
        v_oldest := coalesce(relpack.grace_oldest_transaction(), 'infinity');
        RETURN QUERY
        SELECT removal.zoid, removal.tid,
               removal.missed IS NOT NULL
               AND NOT EXISTS (
                   SELECT
                   FROM relpack.stored()
                   WHERE stored.zoid = removal.zoid AND stored.tid BETWEEN removal.tid AND removal.tid
                   OFFSET 0)
        FROM relpack.blob_removal AS removal
        WHERE (removal.zoid, removal.tid) > (after_zoid, after_tid)
          AND removal.since < v_oldest
        ORDER BY removal.zoid, removal.tid
        LIMIT batch;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT removal.zoid, removal.tid,
           removal.missed IS NOT NULL AND NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = removal.zoid OFFSET 0)
    FROM relpack.blob_removal AS removal
    WHERE (removal.zoid, removal.tid) > (after_zoid, after_tid)
      AND (NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = removal.zoid AND object.parent IS NOT NULL OFFSET 0)
           OR EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = removal.zoid OFFSET 0))
    ORDER BY removal.zoid, removal.tid
    LIMIT batch;
END;
$$;

COMMENT ON FUNCTION relpack.listed_blobs(bigint, bigint, integer) IS
    'The next blobs of relpack.blob_removal whose files may go. '
    'Those are left out that live objects refer to and that are not stored; in a '
    'history-preserving storage, revisions that an open transaction may still read. '
    'missed: the file was not there before, and what it is of is not stored again. '
    'Before any of their files goes, a commit that begins after this look must be durable, on standbys too: it takes '
    'the deletions along.';
-- +goose StatementEnd

-- sql/live_blobs.sql
-- +goose StatementBegin
-- Blobs to look for in a blob directory: only what is found there proves that
-- it is this storage's, mounted, and laid out as it was looked at. From pages
-- here and there, so that old ones that were lost with a disk don't make up all
-- of them. Only where blobs are rare all objects are looked through. Whether one is
-- stored is asked of each before they are counted: rows that vanished prove nothing.
CREATE OR REPLACE FUNCTION relpack.live_blobs(
    tries integer DEFAULT 100,
    OUT zoid bigint, OUT tid bigint)
RETURNS SETOF record
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $$
DECLARE
    v_history boolean := relpack.keeps_history();
    v_pages bigint := pg_relation_size('relpack.object') / current_setting('block_size')::bigint;
    v_zoids bigint[];
BEGIN
    -- First the lock, then the look: a snapshot that is older than a rewrite of
    -- the table sees nothing in it.
    LOCK TABLE public.object_state IN ACCESS SHARE MODE;
    IF v_pages > 1000 THEN
        v_zoids := ARRAY(
            SELECT object.zoid
            FROM relpack.object TABLESAMPLE SYSTEM (100000.0 / v_pages)
            WHERE object.class = 1 AND object.parent IS NOT NULL
              AND EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = object.zoid OFFSET 0)
            ORDER BY random()
            LIMIT tries);
    END IF;
    IF coalesce(cardinality(v_zoids), 0) < tries THEN
        v_zoids := ARRAY(
            SELECT object.zoid
            FROM relpack.object
            WHERE object.class = 1 AND object.parent IS NOT NULL
              AND EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = object.zoid OFFSET 0)
            LIMIT tries);
    END IF;
    IF v_history THEN
        -- Where garbage stays there is no graph. Most of what lost old revisions is stored.
        IF cardinality(v_zoids) = 0 THEN
            v_zoids := ARRAY(
                SELECT removal.zoid FROM relpack.blob_removal AS removal ORDER BY random() LIMIT tries);
        END IF;
        RETURN QUERY SELECT known.zoid, known.tid FROM relpack.current_blobs(v_zoids) AS known;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT stored.zoid, stored.tid
    FROM unnest(v_zoids) AS known (zoid)
    CROSS JOIN LATERAL (
        SELECT stored.zoid, stored.tid
        FROM relpack.stored()
        WHERE stored.zoid = known.zoid
        OFFSET 0
    ) AS stored;
END;
$$;

COMMENT ON FUNCTION relpack.live_blobs(integer) IS
    'Some reachable blobs with the tids that are stored, at most so many; in a history-preserving storage without a graph, '
    'some of those of which revisions are in relpack.blob_removal. '
    'A blob directory that holds the file of none of them does not count as this storage''s.';
-- +goose StatementEnd

-- sql/lock_protocol.sql
-- +goose StatementBegin
-- Which locks the RelStorage that made this storage takes: objects have advisory
-- locks of their own from 3.5 on, row locks in 3.0 to 3.4 (both by a stored
-- procedure), none before, when there was a table to lock instead. What is none
-- of these is unknown, and nobody guesses: the locks of packers of one version are
-- objects' locks in another. Where both procedures are left, the newer is used.
CREATE OR REPLACE FUNCTION relpack.lock_protocol()
RETURNS text
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT CASE
            WHEN bool_or(prosrc LIKE '%pg\_advisory\_xact\_lock%') THEN 'advisory'
            WHEN bool_and(prosrc ~* 'for\s+(update|share)') THEN 'row'
            WHEN count(*) = 0 AND to_regclass('public.commit_lock') IS NOT NULL
                 AND to_regclass('public.commit_row_lock') IS NULL THEN 'table'
            ELSE 'unknown'
            END
        FROM pg_proc
        WHERE proname = 'lock_objects_and_detect_conflicts'
          AND pronamespace = 'public'::regnamespace);
END;
$$;

COMMENT ON FUNCTION relpack.lock_protocol() IS
    'How RelStorage locks in this database: advisory (3.5 and later), row (3.0 to 3.4), table (before), or unknown: '
    'then nothing is packed.';
-- +goose StatementEnd

-- sql/lock_storage.sql
-- +goose StatementBegin
-- A statement may have taken its snapshot before it waited for a table that an
-- ALTER TABLE or pg_repack was rewriting: it reads that table as empty
-- (PostgreSQL manual, "Caveats" of concurrency control). COPY (query) and STABLE
-- functions do. So whoever reads object_state calls this in a statement of its
-- own first: what comes next looks at what is there, and nobody rewrites it
-- until the transaction ends. Before any other lock that the site may want.
CREATE OR REPLACE FUNCTION relpack.lock_storage(history boolean DEFAULT false)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regclass('public.object_state') IS NULL THEN
        RAISE EXCEPTION 'there is no table public.object_state' USING ERRCODE = 'RP002';
    END IF;
    LOCK TABLE public.object_state IN ACCESS SHARE MODE;
    PERFORM relpack.require_kind(history);
END;
$$;

COMMENT ON FUNCTION relpack.lock_storage(boolean) IS
    'Begins everything that reads object_state: locks it in ACCESS SHARE mode until the transaction ends, as every SELECT '
    'does, but before a snapshot is taken. Raises RP002 where there is no such table, or where the storage is not of this '
    'kind (relpack.require_kind()).';
-- +goose StatementEnd

-- sql/missing_privilege.sql
-- +goose StatementBegin
-- The one place that says what a role needs to pack, or to look, that owns nothing.
-- Not all privileges on relpack's tables: with TRIGGER on one, code of the role's
-- own would run in functions that act with their owner's rights. Who looks gets
-- functions that change nothing. The catalogs alone are read, since names in a
-- schema that a role may not use can't be looked up. Nor can a role call this
-- without rights: relpack executes the text itself before it packs.
CREATE OR REPLACE FUNCTION relpack.missing_privilege(
    role name DEFAULT current_user, only_look boolean DEFAULT false,
    OUT target text, OUT privilege text, OUT remedy text, OUT owner name)
RETURNS SETOF record
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH asked (role, only_look) AS (
        VALUES (missing_privilege.role, missing_privilege.only_look)
    ), looked_at (functions) AS (
        VALUES (ARRAY['status', 'doubt', 'trigger_identity', 'missing_trigger', 'column_identity', 'graph_identity',
                      'lock_protocol', 'pack_lock_holder', 'path_to_root', 'referrers', 'referents',
                      'tid_to_time', 'time_to_tid', 'tids_ahead', 'verify', 'verify_graph', 'verify_tree',
                      'broken_blobs', 'verify_blobs', 'blobs_judge', 'names_blob', 'require_blobs_mark', 'origin', 'timeline',
                      'unnamed_large_object', 'lock_storage', 'require_kind', 'known_storage',
                      'require_protocol', 'require_storage', 'require_own',
                      'require_packable', 'require_history', 'require_root', 'require_deletable', 'require_unreferred', 'trim_keys',
                      'keeps_history', 'stored', 'being_changed', 'unapplied', 'hangs_with', 'blob_bytes', 'newest_tid', 'trim_kept',
                      'blobs_named', 'trim_named', 'large_object_bytes', 'uncurrent', 'uncurrent_of', 'history', 'history_by_class'])
    ), history (kept) AS (
        SELECT EXISTS (
            SELECT
            FROM pg_class
            JOIN pg_attribute ON attrelid = pg_class.oid
            WHERE relnamespace = 'public'::regnamespace AND relname = 'object_state' AND attname = 'prev_tid' AND NOT attisdropped)
    ), relation AS (
        SELECT class.oid, class.relname, class.relkind, class.relowner, class.relnamespace::regnamespace::text AS schema,
               CASE
                   WHEN asked.only_look OR class.relname = 'blob_chunk' THEN ARRAY['SELECT']
                   WHEN class.relname = 'object_state' THEN ARRAY['SELECT', 'DELETE']
                   WHEN class.relname = 'current_object' THEN ARRAY['SELECT', 'DELETE']
                   WHEN class.relname = 'transaction' THEN ARRAY['SELECT', 'UPDATE', 'DELETE']
                   WHEN class.relkind = 'v' OR class.relname = 'goose_db_version' THEN ARRAY['SELECT']
                   ELSE ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']
               END AS privileges
        FROM asked, history, pg_class AS class
        WHERE class.relnamespace = 'public'::regnamespace
              AND (class.relname IN ('object_state', 'blob_chunk')
                   OR class.relname IN ('current_object', 'transaction') AND history.kept)
           OR class.relnamespace = 'relpack'::regnamespace AND class.relkind IN ('r', 'v')
    ), needed AS (
        SELECT format('schema %s', nspname) AS target, 'USAGE' AS privilege,
               CASE WHEN pg_get_userbyid(nspowner) = 'pg_database_owner' THEN datdba ELSE nspowner END AS owner,
               has_schema_privilege(role, pg_namespace.oid, 'USAGE') AS there,
               format('GRANT USAGE ON SCHEMA %I TO %I;', nspname, role) AS remedy
        FROM asked, pg_namespace, pg_database
        WHERE nspname IN ('public', 'relpack') AND datname = current_database()
        UNION ALL
        SELECT format('%s.%s', schema, relname), one.privilege, relowner,
               has_table_privilege(role, oid, one.privilege),
               CASE
                   WHEN schema = 'public' THEN format('GRANT %s ON public.%I TO %I;', array_to_string(privileges, ', '), relname, role)
                   WHEN only_look THEN format('GRANT SELECT ON ALL TABLES IN SCHEMA relpack TO %I;', role)
                   ELSE format('GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA relpack TO %1$I; '
                               'REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON relpack.goose_db_version FROM %1$I;', role)
               END
        FROM asked, relation, unnest(privileges) AS one (privilege)
        UNION ALL
        SELECT 'relpack.write_event_id_seq', 'USAGE', relowner,
               has_sequence_privilege(role, oid, 'USAGE'),
               format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA relpack TO %I;', role)
        FROM asked, pg_class
        WHERE NOT only_look AND oid = (SELECT oid FROM pg_class
                     WHERE relnamespace = 'relpack'::regnamespace AND relname = 'write_event_id_seq' AND relkind = 'S')
        UNION ALL
        SELECT format('relpack.%s', proname), 'EXECUTE', proowner,
               has_function_privilege(role, oid, 'EXECUTE'),
               format('GRANT EXECUTE ON %s TO %I;',
                      CASE
                          WHEN only_look THEN 'FUNCTION relpack.' || array_to_string(functions, ', relpack.')
                          ELSE 'ALL FUNCTIONS IN SCHEMA relpack'
                      END, role)
        FROM asked, looked_at, pg_proc
        WHERE pronamespace = 'relpack'::regnamespace
          AND CASE
              WHEN only_look THEN proname = ANY (functions)
              ELSE prorettype <> 'trigger'::regtype AND proname NOT IN ('create_triggers', 'drop_triggers', 'take_back')
              END
    )
    SELECT target, privilege, remedy, pg_get_userbyid(owner)
    FROM needed
    WHERE NOT there
    ORDER BY target, privilege;
$$;

COMMENT ON FUNCTION relpack.missing_privilege(name, boolean) IS
    'What a role lacks that is to pack, or, with only_look, to look. '
    'privilege on target, and as remedy the statements that its owner can run. No row: nothing.';
-- +goose StatementEnd

-- sql/missing_trigger.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.missing_trigger()
RETURNS SETOF text
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT expected.name
    FROM (VALUES (to_regclass('public.object_state'), 'relpack_lock_writer', 'A'),
                 (to_regclass('public.object_state'), 'relpack_report_insert', 'A'),
                 (to_regclass('public.object_state'), 'relpack_report_update', 'A'),
                 (to_regclass('public.object_state'), 'relpack_report_delete', 'A'),
                 (to_regclass('public.object_state'), 'relpack_report_truncate', 'A'),
                 (to_regclass('public.object_state'), 'relpack_report_move', 'A'),
                 (to_regclass('public.object_state'), 'relpack_report_applied', 'R'),
                 (to_regclass('relpack.object'), 'relpack_guard_object', 'A'),
                 (to_regclass('relpack.object_inref'), 'relpack_guard_inref', 'A'),
                 (to_regclass('relpack.missing'), 'relpack_guard_missing', 'A'),
                 (to_regclass('relpack.write_event'), 'relpack_guard_write_event', 'A'),
                 (to_regclass('relpack.pending'), 'relpack_guard_pending', 'A'),
                 (to_regclass('relpack.suspect'), 'relpack_guard_suspect', 'A'),
                 (to_regclass('relpack.problem'), 'relpack_guard_problem', 'A'),
                 (to_regclass('relpack.foreign_reference'), 'relpack_guard_foreign_reference', 'A'),
                 (to_regclass('relpack.capture'), 'relpack_guard_capture', 'A'),
                 (to_regclass('relpack.referred_by'), 'relpack_unreferred', 'A'),
                 (to_regclass('relpack.referred_by'), 'relpack_unreferred_truncate', 'A'))
        AS expected (relation, name, enabled)
    WHERE NOT EXISTS (
        SELECT
        FROM pg_trigger
        WHERE tgrelid = expected.relation
          AND tgname = expected.name
          AND tgenabled = expected.enabled::"char")
    ORDER BY expected.name;
END;
$$;

COMMENT ON FUNCTION relpack.missing_trigger() IS
    'Which of relpack''s triggers are missing or not enabled as relpack enables them. relpack.create_triggers() installs all of them.';
-- +goose StatementEnd

-- sql/names_blob.sql
-- +goose StatementBegin
-- A plain state names its class in its first bytes, and zlibstorage (.z) leaves that of
-- a blob plain.
CREATE OR REPLACE FUNCTION relpack.names_blob(state bytea)
RETURNS boolean
LANGUAGE plpgsql
IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE
           WHEN position('ZODB.blob'::bytea IN substring(state FROM 1 FOR 24)) > 0 THEN true
           WHEN substring(state FROM 1 FOR 1) <> '.' OR substring(state FROM 1 FOR 2) = '.z' THEN false
           END;
END;
$$;

COMMENT ON FUNCTION relpack.names_blob(bytea) IS
    'Whether this is the state of a blob; NULL where that can''t be seen, since it is encrypted, or there is none.';
-- +goose StatementEnd

-- sql/newest_tid.sql
-- +goose StatementBegin
-- Tids of a history-preserving storage come from its transactions, of which the newest
-- one stays when all that it wrote is gone.
CREATE OR REPLACE FUNCTION relpack.newest_tid()
RETURNS bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_newest bigint := (SELECT max(stored.tid) FROM relpack.stored());
BEGIN
    IF relpack.keeps_history() THEN
        RETURN greatest(v_newest, (SELECT max(tid) FROM public.transaction));
    END IF;
    RETURN v_newest;
END;
$$;

COMMENT ON FUNCTION relpack.newest_tid() IS
    'The highest tid of the storage: none that is committed later is below it. NULL: it is empty.';
-- +goose StatementEnd

-- sql/note_dangling.sql
-- +goose StatementBegin
-- Whether a live object refers to what dangles is asked when it is told: see
-- relpack.dangling_reference. What the objects of later chunks are named by
-- dangles until these are applied.
CREATE OR REPLACE FUNCTION relpack.note_dangling(named bigint[], unnamed bigint[], born bigint[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_bitmapscan = off
AS $$
BEGIN
    INSERT INTO relpack.dangling (zoid)
    SELECT target.zoid
    FROM unnest(named) AS target (zoid)
    WHERE NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = target.zoid OFFSET 0)
    ORDER BY target.zoid
    ON CONFLICT DO NOTHING;
    INSERT INTO relpack.dangling (zoid)
    SELECT examined.zoid
    FROM relpack.examined_object AS examined
    WHERE examined.tid IS NULL
      AND EXISTS (SELECT FROM relpack.object_inref WHERE object_inref.zoid = examined.zoid OFFSET 0)
    ON CONFLICT DO NOTHING;
    IF EXISTS (SELECT FROM relpack.dangling) THEN
        DELETE FROM relpack.dangling WHERE zoid = ANY (born);
        DELETE FROM relpack.dangling
        WHERE zoid = ANY (unnamed)
          AND NOT EXISTS (SELECT FROM relpack.object_inref WHERE object_inref.zoid = dangling.zoid OFFSET 0);
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.note_dangling(bigint[], bigint[], bigint[]) IS
    'Step of relpack.apply(): keeps relpack.dangling up to date: named are targets of new references, unnamed of '
    'references that are gone, born are new nodes.';
-- +goose StatementEnd

-- sql/note_referrer.sql
-- +goose StatementBegin
-- What another storage refers to here, as it was found there. Another name of
-- the same database replaces the one before. Clocks of two servers are not
-- compared: how long ago that was is all that counts.
CREATE OR REPLACE FUNCTION relpack.note_referrer(holder text, origin text, refs bigint, unreadable bigint, ago interval)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_pack_lock();
    IF NOT EXISTS (
        SELECT
        FROM relpack.referred_by AS known
        WHERE known.origin = note_referrer.origin AND known.holder = note_referrer.holder) THEN
        UPDATE relpack.referred_by AS known
        SET origin = note_referrer.origin, holder = note_referrer.holder
        WHERE (known.origin, known.holder) = (
            SELECT other.origin, other.holder
            FROM relpack.referred_by AS other
            WHERE other.origin = note_referrer.origin
               OR (other.origin = '' AND other.holder = note_referrer.holder)
            ORDER BY other.origin, other.holder
            LIMIT 1);
    END IF;
    DELETE FROM relpack.referred_by AS known
    WHERE (known.origin = note_referrer.origin AND known.holder <> note_referrer.holder)
       OR (known.origin = '' AND known.holder = note_referrer.holder);
    INSERT INTO relpack.referred_by (refs, unreadable, looked, origin, holder)
    VALUES (note_referrer.refs, note_referrer.unreadable, clock_timestamp() - note_referrer.ago, note_referrer.origin, note_referrer.holder)
    ON CONFLICT ON CONSTRAINT referred_by_pkey DO UPDATE
    SET refs = excluded.refs, unreadable = excluded.unreadable, looked = excluded.looked;
END;
$$;

COMMENT ON FUNCTION relpack.note_referrer(text, text, bigint, bigint, interval) IS
    'Records into relpack.referred_by how another storage refers to this one. '
    'So many of the objects of holder (relpack.origin() there) refer to objects of this one, and so many can''t be '
    'decoded and may. '
    'ago: since when other references may have been stored there, the oldest open transaction included.';
-- +goose StatementEnd

-- sql/note_unread.sql
-- +goose StatementBegin
-- A storage that could not be read counts with what was recorded last. Where
-- nothing ever was, nobody knows what it refers to.
CREATE OR REPLACE FUNCTION relpack.note_unread(holders text[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_pack_lock();
    INSERT INTO relpack.referred_by (refs, unreadable, looked, origin, holder)
    SELECT DISTINCT 0, 0, NULL::timestamptz, '', other.holder
    FROM unnest(holders) AS other (holder)
    WHERE NOT EXISTS (SELECT FROM relpack.referred_by AS known WHERE known.holder = other.holder);
END;
$$;

COMMENT ON FUNCTION relpack.note_unread(text[]) IS
    'Records into relpack.referred_by those of these storages of which nothing is recorded yet: until they are read, '
    'relpack.sweep() refuses.';
-- +goose StatementEnd

-- sql/note_unreferred.sql
-- +goose StatementBegin
-- Trigger function of relpack.referred_by. What only another storage referred to
-- was in use until it was found not to be any more, and nobody knows since when:
-- the grace of all that is unreachable begins now. What was chosen for deletion
-- before is chosen again.
CREATE OR REPLACE FUNCTION relpack.note_unreferred()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- A storage that was not known may have referred to this one as well.
    v_before boolean := CASE
        WHEN tg_op IN ('UPDATE', 'DELETE') THEN old.refs > 0 OR old.unreadable > 0 OR old.looked IS NULL
        ELSE true
        END;
    v_after boolean := CASE
        WHEN tg_op IN ('INSERT', 'UPDATE') THEN new.refs > 0 OR new.unreadable > 0 OR new.looked IS NULL
        ELSE false
        END;
BEGIN
    IF v_before AND NOT v_after THEN
        UPDATE relpack.storage
        SET unreferred = clock_timestamp(), begun_until = 0, doomed_tid = 0;
    END IF;
    RETURN NULL;
END;
$$;

COMMENT ON FUNCTION relpack.note_unreferred() IS
    'Trigger function: when a row of relpack.referred_by ceases to say that a storage refers to this one, or may, the '
    'grace of all that is unreachable begins.';
-- +goose StatementEnd

-- sql/oldest_client.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.oldest_client()
RETURNS text
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT format('pid %s, application "%s", since %s', pid, application, since::timestamptz(0))
        FROM relpack.other_clients()
        WHERE since IS NOT NULL
        ORDER BY since
        LIMIT 1);
END;
$$;

COMMENT ON FUNCTION relpack.oldest_client() IS
    'Names the other client whose transaction is open for longest; NULL: none is.';
-- +goose StatementEnd

-- sql/oldest_kept.sql
-- +goose StatementBegin
-- By the index on tid one comes through all that was removed and not vacuumed: once, as it
-- begins where the last pack found the oldest one. An older one that is restored is an event,
-- or a reason for doubt.
CREATE OR REPLACE FUNCTION relpack.oldest_kept()
RETURNS bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    v_from bigint := coalesce((
        SELECT oldest_tid
        FROM relpack.storage
        WHERE graph = 'current'
          AND NOT EXISTS (SELECT FROM relpack.write_event WHERE kind <> 'ahead')
          AND relpack.doubt() IS NULL), 0);
BEGIN
    RETURN (SELECT min(stored.tid) FROM relpack.stored() WHERE stored.tid > 0 AND stored.tid >= v_from);
END;
$$;

COMMENT ON FUNCTION relpack.oldest_kept() IS
    'The tid of the oldest revision that is stored in a history-preserving storage; NULL: there is none.';
-- +goose StatementEnd

-- sql/origin.sql
-- +goose StatementBegin
-- A copy of this database in the same server has another one, and so has one that
-- pg_restore made elsewhere. A physical copy of the server has the same:
-- relpack.timeline() tells it, once it has been promoted.
CREATE OR REPLACE FUNCTION relpack.origin()
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_database oid := (SELECT oid FROM pg_database WHERE datname = current_database());
BEGIN
    IF has_function_privilege('pg_control_system()', 'EXECUTE') THEN
        RETURN format('%s/%s', (SELECT system_identifier FROM pg_control_system()), v_database);
    END IF;
    RETURN format('%s:%s/%s %s', inet_server_addr(), inet_server_port(), v_database, current_database());
END;
$$;

COMMENT ON FUNCTION relpack.origin() IS
    'Tells this database from others, but for physical copies of the server: system identifier of the server and oid of the database.';
-- +goose StatementEnd

-- sql/other_clients.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.other_clients(OUT pid integer, OUT application text, OUT since timestamptz)
RETURNS SETOF record
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT activity.pid, activity.application_name, activity.xact_start
    FROM pg_stat_activity AS activity
    WHERE activity.datname = current_database()
      AND activity.backend_type = 'client backend'
      AND activity.pid NOT IN (SELECT relpack.own_session());
END;
$$;

COMMENT ON FUNCTION relpack.other_clients() IS
    'The sessions of other clients of this database, and since when they have a transaction open.';
-- +goose StatementEnd

-- sql/own_session.sql
-- +goose StatementBegin
-- Whose transactions hold no object of the application. A name is not enough:
-- anybody may call his session as he likes. relpack's own take this lock when
-- they begin, and those of a pack are of one role.
CREATE OR REPLACE FUNCTION relpack.own_session()
RETURNS SETOF integer
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT DISTINCT locks.pid
    FROM pg_locks AS locks
    JOIN pg_stat_activity AS activity ON activity.pid = locks.pid
    WHERE locks.locktype = 'advisory'
      AND locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND locks.classid = 1919249520
      AND locks.objid = 3
      AND locks.objsubid = 2
      AND locks.granted
      AND activity.usename = session_user;
END;
$$;

COMMENT ON FUNCTION relpack.own_session() IS
    'Process ids of the sessions of relpack that the role of this one has opened: they share advisory lock (1919249520, 3).';
-- +goose StatementEnd

-- sql/pack_lock_holder.sql
-- +goose StatementBegin
-- Whoever holds one of the locks that packers take.
CREATE OR REPLACE FUNCTION relpack.pack_lock_holder(
    OUT pid integer, OUT application text, OUT username text, OUT since timestamptz)
RETURNS SETOF record
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT DISTINCT locks.pid, activity.application_name, activity.usename::text, activity.backend_start
    FROM pg_locks AS locks
    LEFT JOIN pg_stat_activity AS activity ON activity.pid = locks.pid
    WHERE locks.locktype = 'advisory'
      AND locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND locks.objsubid = 1
      AND locks.granted
      AND ((locks.classid = 4294967295 AND locks.objid = 4294967294)
           OR (relpack.lock_protocol() IN ('row', 'table') AND locks.classid = 0 AND locks.objid IN (1, 23)));
END;
$$;

COMMENT ON FUNCTION relpack.pack_lock_holder() IS
    'The sessions that hold the pack lock: relpack, zodbpack or relstorage_packer. '
    'since is when the session began; NULL where your role may not see it.';
-- +goose StatementEnd

-- sql/path_to_root.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.path_to_root(
    start bigint, OUT step bigint, OUT zoid bigint, OUT class text, OUT reachable boolean, OUT missing boolean)
RETURNS SETOF record
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
    -- An unreachable object has no parent: its chain goes by any referrer not
    -- met before, and ends where there is none.
    WITH RECURSIVE chain AS (
        SELECT 0::bigint AS step, object.zoid, object.parent, object.class, ARRAY[object.zoid] AS met
        FROM relpack.object
        WHERE object.zoid = path_to_root.start
        UNION ALL
        SELECT chain.step + 1, object.zoid, object.parent, object.class,
               CASE WHEN chain.parent IS NULL THEN chain.met || object.zoid ELSE chain.met END
        FROM chain
        JOIN relpack.object
          ON object.zoid = coalesce(chain.parent, (
                SELECT object_inref.inref
                FROM relpack.object_inref
                WHERE object_inref.zoid = chain.zoid
                  AND object_inref.inref <> ALL (chain.met)
                ORDER BY object_inref.inref
                LIMIT 1))
        WHERE chain.parent IS DISTINCT FROM chain.zoid
          AND cardinality(chain.met) <= 1000
    )
    SELECT step, chain.zoid, class.label, chain.parent IS NOT NULL,
           EXISTS (SELECT FROM relpack.missing WHERE missing.zoid = chain.zoid)
    FROM chain
    JOIN relpack.class ON class.id = chain.class
    ORDER BY step;
$$;

COMMENT ON FUNCTION relpack.path_to_root(bigint) IS
    'Why an object is alive: the chain of parents from it up to the root. '
    'For an unreachable object, a chain of referrers up to where it ends (nothing refers to its last object, or only '
    'what was met before; at most 1000). missing: its row vanished, and what hangs on it is kept.';
-- +goose StatementEnd

-- sql/pend.sql
-- +goose StatementBegin
-- In one order: two sessions of a run may name the same objects.
CREATE OR REPLACE FUNCTION relpack.pend(packer integer, zoids bigint[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_packer_alive(packer);
    INSERT INTO relpack.pending (zoid)
    SELECT DISTINCT other.zoid FROM unnest(zoids) AS other (zoid) ORDER BY other.zoid
    ON CONFLICT DO NOTHING;
END;
$$;

COMMENT ON FUNCTION relpack.pend(integer, bigint[]) IS
    'Has objects examined by the next update, or by the next pack should this run not come so far. '
    'For all sessions of the run whose session packer holds the pack lock: RP004 otherwise.';
-- +goose StatementEnd

-- sql/reach.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.reach()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_unreachable bigint;
BEGIN
    WHILE relpack.reach_step() LOOP
    END LOOP;
    SELECT count(*) INTO v_unreachable FROM relpack.detached;
    RETURN v_unreachable;
END;
$$;

COMMENT ON FUNCTION relpack.reach() IS
    'Settles which objects are reachable after changes were applied, in one transaction; returns how many are not. '
    '"relpack pack" calls relpack.reach_step() instead, a transaction each.';
-- +goose StatementEnd

-- sql/reach_attach.sql
-- +goose StatementBegin
-- For objects that nothing hangs on, when nothing is left to cut, so that what is
-- attached is live. One that is detached and that an attached one refers to is
-- attached to it, and life flows on from there; the others are unreachable
-- unless it flows to them.
CREATE OR REPLACE FUNCTION relpack.reach_attach(tried bigint[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_limits record := relpack.walk_limits();
    v_tries bigint := v_limits.climb_inrefs;
    v_left bigint[] := tried;
    v_ways record;
BEGIN
    DELETE FROM relpack.suspect WHERE zoid = ANY (tried);
    LOOP
        v_ways := relpack.ways_up(v_left, v_tries, v_limits.climb_visits);
        IF v_ways.visited >= v_limits.climb_visits THEN
            PERFORM relpack.begin_reshape('much refers to what was cut off');
            RETURN;
        END IF;
        UPDATE relpack.object
        SET parent = saved.parent, detached_tid = NULL
        FROM unnest(v_ways.saved, v_ways.parents) AS saved (zoid, parent)
        WHERE object.zoid = saved.zoid;
        INSERT INTO relpack.suspect (zoid, stage)
        SELECT zoid, 'flow' FROM unnest(v_ways.saved) AS saved (zoid);
        EXIT WHEN v_tries IS NULL;
        -- A few referrers of each were tried, of which many may be garbage.
        v_left := ARRAY(
            SELECT zoid
            FROM unnest(v_left) AS detached (zoid)
            WHERE EXISTS (SELECT FROM relpack.object_inref WHERE object_inref.zoid = detached.zoid OFFSET v_tries)
              AND (zoid IN (SELECT unnest(v_ways.saved))) IS NOT TRUE);
        EXIT WHEN v_left = '{}';
        v_tries := NULL;
    END LOOP;
END;
$$;

COMMENT ON FUNCTION relpack.reach_attach(bigint[]) IS
    'Step of relpack.reach(): attaches those of some detached objects that an attached one refers to; the others are suspects no more.';
-- +goose StatementEnd

-- sql/reach_climb.sql
-- +goose StatementBegin
-- Looks for a way up to the root for all suspects together, and attaches those
-- that have one: the trees below them are alive again without being visited. A
-- few referrers of each are tried first, as an object may have a million, which
-- are mostly alive or below it; then all. What is not saved is settled by the
-- stages cut, attach and flow, which are exact. Batches can depend on each other: they
-- are gone through until none gains anything. From what was saved life flows on
-- only where it refers to something detached. Where all that is dearer than new
-- parents for all objects, relpack.reshape() chooses these: what is known to be too
-- much is not begun, and what was done counts when there is something to cut.
CREATE OR REPLACE FUNCTION relpack.reach_climb()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_limits record := relpack.walk_limits();
    v_tries bigint := v_limits.climb_inrefs;
    v_suspects bigint;
    v_left bigint;
    v_after bigint;
    v_batch bigint[];
    v_batches integer;
    v_ways record;
    v_saved bigint;
    v_found bigint := 0;
BEGIN
    UPDATE relpack.suspect
    SET stage = 'flow'
    FROM relpack.object
    WHERE suspect.stage = 'climb' AND object.zoid = suspect.zoid AND object.parent IS NOT NULL;
    SELECT count(*) INTO v_suspects FROM relpack.suspect WHERE stage = 'climb';
    UPDATE relpack.storage
    SET walked_objects = walked_objects + v_suspects
    RETURNING greatest(objects, v_limits.reshape_share * v_limits.reshape_least) - v_limits.reshape_share * walked_objects
    INTO STRICT v_left;
    IF v_left < 0 THEN
        PERFORM relpack.begin_reshape('much has changed');
        RETURN 0;
    END IF;
    v_left := v_left + v_limits.reshape_share * v_suspects;
    LOOP
        v_after := -1;
        v_batches := 0;
        v_saved := 0;
        LOOP
            SELECT array_agg(zoid ORDER BY zoid), max(zoid)
            INTO v_batch, v_after
            FROM (
                SELECT zoid
                FROM relpack.suspect
                WHERE stage = 'climb' AND zoid > v_after
                ORDER BY zoid
                LIMIT v_limits.together
            ) AS next;
            EXIT WHEN v_batch IS NULL;
            v_batches := v_batches + 1;
            v_left := v_left - v_limits.reshape_share * cardinality(v_batch);
            IF v_left < 0 THEN
                PERFORM relpack.begin_reshape('much has changed');
                RETURN v_found;
            END IF;
            v_ways := relpack.ways_up(v_batch, v_tries, v_limits.climb_visits);
            v_left := v_left - v_ways.visited;
            IF v_ways.visited >= v_limits.climb_visits THEN
                PERFORM relpack.begin_reshape('from what changed it is far to the root');
                RETURN v_found;
            END IF;
            UPDATE relpack.object
            SET parent = saved.parent, detached_tid = NULL
            FROM unnest(v_ways.saved, v_ways.parents) AS saved (zoid, parent)
            WHERE object.zoid = saved.zoid;
            DELETE FROM relpack.suspect WHERE zoid = ANY (v_ways.saved);
            INSERT INTO relpack.suspect (zoid, stage)
            SELECT saved.zoid, 'flow'
            FROM unnest(v_ways.saved) AS saved (zoid)
            CROSS JOIN LATERAL (
                SELECT
                FROM (SELECT zoid FROM relpack.object_inref WHERE inref = saved.zoid OFFSET 0) AS target
                CROSS JOIN LATERAL (
                    SELECT FROM relpack.object WHERE zoid = target.zoid AND parent IS NULL OFFSET 0
                ) AS detached
                LIMIT 1
            ) AS further;
            v_saved := v_saved + coalesce(cardinality(v_ways.saved), 0);
        END LOOP;
        v_found := v_found + v_saved;
        CONTINUE WHEN v_saved > 0 AND v_batches > 1;
        EXIT WHEN v_tries IS NULL OR NOT EXISTS (
            SELECT
            FROM relpack.suspect
            WHERE suspect.stage = 'climb'
              AND EXISTS (SELECT FROM relpack.object_inref WHERE object_inref.zoid = suspect.zoid OFFSET v_tries));
        v_tries := NULL;
    END LOOP;
    UPDATE relpack.suspect SET stage = 'cut' WHERE stage = 'climb';
    RETURN v_found;
END;
$$;

COMMENT ON FUNCTION relpack.reach_climb() IS
    'Step of relpack.reach(): attaches suspects that have a referrer whose parents lead to the root; returns how many.';
-- +goose StatementEnd

-- sql/reach_cut.sql
-- +goose StatementBegin
-- Detaches the whole subtree of suspects that no climb could save. Only when
-- nothing is left to cut does a parent prove life. Small frontiers go many
-- levels at once, as in relpack.reach_flow(). The children of an object are what it
-- refers to and is the parent of. Where so many objects are to be detached that
-- new parents for all cost less, relpack.reshape() takes over.
CREATE OR REPLACE FUNCTION relpack.reach_cut()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_limits record := relpack.walk_limits();
    v_detached bigint;
    v_left bigint;
    v_cut bigint;
BEGIN
    SELECT detach_tid, greatest(objects / v_limits.reshape_share, v_limits.reshape_least) - walked_objects
    INTO v_detached, v_left
    FROM relpack.storage;
    IF NOT EXISTS (SELECT FROM relpack.suspect WHERE stage = 'cut' OFFSET v_limits.narrow) THEN
        v_cut := relpack.reach_cut_deep(least(v_limits.walk, greatest(v_left, v_limits.narrow) + 1), v_left);
    ELSE
        WITH frontier AS MATERIALIZED (
            UPDATE relpack.suspect SET stage = 'attach' WHERE stage = 'cut' RETURNING zoid
        ), child AS MATERIALIZED (
            SELECT target.zoid
            FROM frontier
            CROSS JOIN LATERAL (
                SELECT zoid FROM relpack.object_inref WHERE inref = frontier.zoid OFFSET 0
            ) AS target
            CROSS JOIN LATERAL (
                SELECT FROM relpack.object WHERE zoid = target.zoid AND parent = frontier.zoid AND zoid <> 0 OFFSET 0
            ) AS attached
            LIMIT greatest(v_left, 0) + 1
        ), detached AS (
            UPDATE relpack.object
            SET parent = NULL, detached_tid = v_detached
            FROM child
            WHERE object.zoid = child.zoid
            RETURNING object.zoid
        ), suspected AS (
            INSERT INTO relpack.suspect (zoid, stage)
            SELECT zoid, 'cut' FROM detached
            ON CONFLICT (zoid) DO UPDATE SET stage = excluded.stage
        )
        SELECT count(*) INTO v_cut FROM detached;
    END IF;
    IF v_cut > v_left THEN
        PERFORM relpack.begin_reshape('much of the tree hangs on what was cut off');
    ELSE
        UPDATE relpack.storage SET walked_objects = walked_objects + v_cut;
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.reach_cut() IS
    'Step of relpack.reach(): detaches the children of suspects that were not saved.';
-- +goose StatementEnd

-- sql/reach_cut_deep.sql
-- +goose StatementBegin
-- A walk that comes to its end has met all there is to cut, so that it can be
-- decided at once what of it hangs on something else as well.
CREATE OR REPLACE FUNCTION relpack.reach_cut_deep(most bigint, allowed bigint)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_walked bigint[];
BEGIN
    WITH RECURSIVE walk (zoid) AS (
        SELECT zoid FROM relpack.suspect WHERE stage = 'cut'
        UNION ALL
        SELECT target.zoid
        FROM walk
        CROSS JOIN LATERAL (
            SELECT zoid FROM relpack.object_inref WHERE inref = walk.zoid OFFSET 0
        ) AS target
        CROSS JOIN LATERAL (
            SELECT FROM relpack.object WHERE zoid = target.zoid AND parent = walk.zoid AND zoid <> 0 OFFSET 0
        ) AS child
    )
    SELECT array_agg(zoid) INTO v_walked FROM (SELECT zoid FROM walk LIMIT most) AS bounded;
    IF cardinality(v_walked) < most THEN
        PERFORM relpack.reach_split(v_walked);
        RETURN cardinality(v_walked);
    ELSIF most > allowed THEN
        RETURN most;
    END IF;
    UPDATE relpack.object
    SET parent = NULL, detached_tid = (SELECT detach_tid FROM relpack.storage)
    WHERE zoid = ANY (v_walked) AND parent IS NOT NULL;
    INSERT INTO relpack.suspect (zoid, stage)
    SELECT zoid, 'cut' FROM unnest(v_walked) AS walked (zoid)
    ON CONFLICT (zoid) DO UPDATE SET stage = excluded.stage;
    RETURN most;
END;
$$;

COMMENT ON FUNCTION relpack.reach_cut_deep(bigint, bigint) IS
    'Step of relpack.reach(): relpack.reach_cut() for a small frontier, many levels at once, and relpack.reach_split() if it '
    'comes to its end before it has met so many objects; returns how many. '
    'Where these are more than are allowed it leaves them alone.';
-- +goose StatementEnd

-- sql/reach_flow.sql
-- +goose StatementBegin
-- Life flows from objects that were attached to every detached object they
-- refer to, transitively. Small frontiers (a chain, a new document) go many
-- levels in one recursive query, which stops after a bounded number of
-- objects; wide ones go level by level in set-based statements.
CREATE OR REPLACE FUNCTION relpack.reach_flow()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashagg = off
AS $$
DECLARE
    v_narrow bigint := (relpack.walk_limits()).narrow;
BEGIN
    IF NOT EXISTS (SELECT FROM relpack.suspect WHERE stage = 'flow' OFFSET v_narrow) THEN
        PERFORM relpack.reach_flow_deep(ARRAY(SELECT zoid FROM relpack.suspect WHERE stage = 'flow'), '{}');
        RETURN;
    END IF;
    WITH frontier AS MATERIALIZED (
        DELETE FROM relpack.suspect WHERE stage = 'flow' RETURNING zoid
    ), reached AS (
        SELECT target.zoid, min(frontier.zoid) AS inref
        FROM frontier
        CROSS JOIN LATERAL (
            SELECT zoid FROM relpack.object_inref WHERE inref = frontier.zoid OFFSET 0
        ) AS target
        CROSS JOIN LATERAL (
            SELECT FROM relpack.object WHERE zoid = target.zoid AND parent IS NULL OFFSET 0
        ) AS detached
        GROUP BY target.zoid
    ), attached AS (
        UPDATE relpack.object
        SET parent = reached.inref, detached_tid = NULL
        FROM reached
        WHERE object.zoid = reached.zoid
        RETURNING object.zoid
    )
    INSERT INTO relpack.suspect (zoid, stage)
    SELECT zoid, 'flow' FROM attached
    ON CONFLICT (zoid) DO UPDATE SET stage = excluded.stage;
END;
$$;

COMMENT ON FUNCTION relpack.reach_flow() IS
    'Step of relpack.reach(): attaches the detached objects that newly attached ones refer to.';
-- +goose StatementEnd

-- sql/reach_flow_deep.sql
-- +goose StatementBegin
-- The recursive query yields objects in the order of discovery. Each of those
-- that were found has a referrer before it, so that parents can't form a circle.
-- What has the parent that it would get is left alone: below an object that is
-- cut off and held by something else, that is most.
--
-- Statistics have a walk find many times what it does. The hash table that keeps
-- its objects apart is made that large at once, but for work_mem, and zeroed: with
-- 4 MB that took twice as long as the walk. It grows when it has to.
--
-- Arrays are looked up in as subqueries, which a generic plan hashes. As constants
-- they are hashed too, but the planner then looks at each element, and that again
-- for each condition. IS TRUE keeps such a subquery from becoming a join.
CREATE OR REPLACE FUNCTION relpack.reach_flow_deep(attached bigint[], cut_off bigint[])
RETURNS bigint[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64kB'
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_limit constant bigint := (relpack.walk_limits()).walk;
    v_walked bigint[];
BEGIN
    WITH RECURSIVE walk (zoid) AS (
        SELECT zoid FROM unnest(attached) AS begun (zoid)
        UNION
        SELECT target.zoid
        FROM walk
        CROSS JOIN LATERAL (
            SELECT zoid FROM relpack.object_inref WHERE inref = walk.zoid OFFSET 0
        ) AS target
        WHERE target.zoid IN (SELECT unnest(cut_off))
           OR EXISTS (SELECT FROM relpack.object WHERE object.zoid = target.zoid AND parent IS NULL OFFSET 0)
    )
    SELECT coalesce(array_agg(zoid), '{}') INTO v_walked FROM (SELECT zoid FROM walk LIMIT v_limit) AS bounded;
    UPDATE relpack.object
    SET parent = chosen.inref, detached_tid = NULL
    FROM (
        SELECT DISTINCT ON (target.zoid) target.zoid, walked.zoid AS inref
        FROM unnest(v_walked) WITH ORDINALITY AS walked (zoid, place)
        CROSS JOIN LATERAL (
            SELECT zoid
            FROM relpack.object_inref
            WHERE inref = walked.zoid
              AND (zoid IN (SELECT unnest(v_walked))) IS TRUE
              AND zoid NOT IN (SELECT unnest(attached))
            OFFSET 0
        ) AS target
        ORDER BY target.zoid, walked.place
    ) AS chosen
    WHERE object.zoid = chosen.zoid AND object.parent IS DISTINCT FROM chosen.inref;
    DELETE FROM relpack.suspect WHERE zoid = ANY (v_walked);
    IF cardinality(v_walked) < v_limit THEN
        RETURN v_walked;
    END IF;
    -- Cut short: some of what was found refers to more.
    INSERT INTO relpack.suspect (zoid, stage)
    SELECT walked.zoid, 'flow'
    FROM unnest(v_walked) AS walked (zoid)
    CROSS JOIN LATERAL (
        SELECT
        FROM (
            SELECT zoid
            FROM relpack.object_inref
            WHERE inref = walked.zoid AND (zoid IN (SELECT unnest(v_walked))) IS NOT TRUE
            OFFSET 0
        ) AS target
        WHERE target.zoid IN (SELECT unnest(cut_off))
           OR EXISTS (SELECT FROM relpack.object WHERE object.zoid = target.zoid AND parent IS NULL OFFSET 0)
        LIMIT 1
    ) AS more;
    RETURN v_walked;
END;
$$;

COMMENT ON FUNCTION relpack.reach_flow_deep(bigint[], bigint[]) IS
    'Step of relpack.reach(): relpack.reach_flow() from a few attached objects, many levels at once, to detached objects '
    'and to those that are about to be; returns all that are attached then.';
-- +goose StatementEnd

-- sql/reach_split.sql
-- +goose StatementBegin
-- What all suspects hang on is lost: no climb saved it. Of the objects below,
-- those that something else refers to that has a parent, and what these refer
-- to, are alive; the others are detached. Most of what is cut is one or the
-- other, and is written once. Arrays are looked up in as in
-- relpack.reach_flow_deep().
CREATE OR REPLACE FUNCTION relpack.reach_split(cut_off bigint[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_held bigint[];
    v_holders bigint[];
    v_saved bigint[];
BEGIN
    SELECT coalesce(array_agg(below.zoid), '{}'), coalesce(array_agg(holder.inref), '{}')
    INTO v_held, v_holders
    FROM unnest(cut_off) AS below (zoid)
    CROSS JOIN LATERAL (
        SELECT other.inref
        FROM (
            SELECT object_inref.inref
            FROM relpack.object_inref
            WHERE object_inref.zoid = below.zoid AND object_inref.inref NOT IN (SELECT unnest(cut_off))
            OFFSET 0
        ) AS other
        CROSS JOIN LATERAL (
            SELECT FROM relpack.object WHERE zoid = other.inref AND parent IS NOT NULL OFFSET 0
        ) AS live
        LIMIT 1
    ) AS holder;
    UPDATE relpack.object
    SET parent = held.inref, detached_tid = NULL
    FROM unnest(v_held, v_holders) AS held (zoid, inref)
    WHERE object.zoid = held.zoid;
    DELETE FROM relpack.suspect WHERE stage = 'cut';
    v_saved := relpack.reach_flow_deep(v_held, cut_off);
    UPDATE relpack.object
    SET parent = NULL, detached_tid = (SELECT detach_tid FROM relpack.storage)
    WHERE zoid = ANY (cut_off) AND zoid NOT IN (SELECT unnest(v_saved)) AND parent IS NOT NULL;
END;
$$;

COMMENT ON FUNCTION relpack.reach_split(bigint[]) IS
    'Step of relpack.reach(): of all objects that hang on suspects in stage cut, these among them, attaches those '
    'that are alive otherwise and detaches the others.';
-- +goose StatementEnd

-- sql/reach_step.sql
-- +goose StatementBegin
-- The stages in the order in which they may run. An object is "attached" when
-- it has a parent, "detached" when it has none; only once no suspect is in
-- stage climb or cut does attached mean live.
--
-- The settings hold for all that is called from here. Walks look objects and
-- references up one by one, by index, and no statistics may talk a planner out of
-- that: they know nothing of tables that were filled a moment ago, and remember
-- those that were large once. OFFSET 0 keeps each lookup a lookup, in the order
-- written: what is detached may be called one row, and a reference one of
-- thousands, so that a join would be planned from its wrong end. Plans are kept
-- with their function: call no step but this.
CREATE OR REPLACE FUNCTION relpack.reach_step()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_material = off
SET max_parallel_workers_per_gather = 0
AS $$
DECLARE
    v_graph text;
    v_now bigint;
BEGIN
    PERFORM relpack.require_pack_lock();
    SELECT graph INTO v_graph FROM relpack.storage;
    IF v_graph = 'reshaping' THEN
        PERFORM relpack.reshape();
        RETURN true;
    ELSIF v_graph NOT IN ('current', 'doubtful') THEN
        RAISE EXCEPTION 'the graph is not built yet'
            USING ERRCODE = 'RP002', HINT = 'Run "relpack pack --dry-run": it builds the graph and deletes nothing.';
    END IF;
    IF EXISTS (SELECT FROM relpack.suspect WHERE stage = 'flow') THEN
        PERFORM relpack.reach_flow();
    ELSIF EXISTS (SELECT FROM relpack.suspect WHERE stage = 'climb') THEN
        PERFORM relpack.reach_climb();
    ELSIF EXISTS (SELECT FROM relpack.suspect WHERE stage = 'cut') THEN
        PERFORM relpack.reach_cut();
    ELSIF EXISTS (SELECT FROM relpack.suspect WHERE stage = 'attach') THEN
        PERFORM relpack.reach_attach(ARRAY(
            SELECT zoid FROM relpack.suspect WHERE stage = 'attach' LIMIT (relpack.walk_limits()).together));
    ELSIF (SELECT resettle FROM relpack.storage) THEN
        -- What was suspected may be lost: nothing but the references is trusted.
        -- Nobody knows what was alive between a dump and now: what was garbage then
        -- has its grace again, and no deletion had begun.
        UPDATE relpack.storage
        SET resettle = false,
            begun_until = 0,
            noticed_tid = greatest(noticed_tid, relpack.time_to_tid(clock_timestamp()))
        RETURNING detach_tid INTO STRICT v_now;
        UPDATE relpack.object
        SET detached_tid = v_now
        WHERE parent IS NULL;
        PERFORM relpack.begin_reshape('object_state or relpack''s own tables are others than before');
    ELSE
        -- What is still detached is unreachable, in a graph that is trusted. In a
        -- restored one what vanished since is held until that is known.
        IF EXISTS (SELECT FROM relpack.missing) AND relpack.doubt() IS NULL AND relpack.forget_missing() > 0 THEN
            RETURN true;
        END IF;
        UPDATE relpack.storage SET walked_objects = 0 WHERE walked_objects <> 0;
        -- Cut off again later, it is to have its grace again. Nothing was
        -- attached where nothing was applied since the choice.
        IF (SELECT doomed_tid = 0 FROM relpack.storage) THEN
            DELETE FROM relpack.doomed
            WHERE EXISTS (SELECT FROM relpack.object WHERE object.zoid = doomed.zoid AND object.parent IS NOT NULL OFFSET 0);
        END IF;
        RETURN false;
    END IF;
    RETURN true;
END;
$$;

COMMENT ON FUNCTION relpack.reach_step() IS
    'One bounded step of relpack.reach(). True while there is more to do.';
-- +goose StatementEnd

-- sql/referents.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.referents(
    referrer bigint, OUT zoid bigint, OUT class text, OUT size integer, OUT reachable boolean, OUT missing boolean)
RETURNS SETOF record
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT object_inref.zoid, class.label, object.size, object.parent IS NOT NULL,
           EXISTS (SELECT FROM relpack.missing WHERE missing.zoid = object_inref.zoid)
    FROM relpack.object_inref
    LEFT JOIN relpack.object ON object.zoid = object_inref.zoid
    LEFT JOIN relpack.class ON class.id = object.class
    WHERE object_inref.inref = referents.referrer
    ORDER BY object_inref.zoid;
$$;

COMMENT ON FUNCTION relpack.referents(bigint) IS
    'The objects that this one refers to, as of the last pack, with class, size in bytes, and whether they can be '
    'reached from the root. class is NULL for one that is not stored (a dangling reference); '
    'missing: its row vanished since relpack read it.';
-- +goose StatementEnd

-- sql/referrers.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.referrers(
    referent bigint, OUT zoid bigint, OUT class text, OUT size integer, OUT reachable boolean, OUT missing boolean)
RETURNS SETOF record
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT object_inref.inref, class.label, object.size, object.parent IS NOT NULL,
           EXISTS (SELECT FROM relpack.missing WHERE missing.zoid = object_inref.inref)
    FROM relpack.object_inref
    LEFT JOIN relpack.object ON object.zoid = object_inref.inref
    LEFT JOIN relpack.class ON class.id = object.class
    WHERE object_inref.zoid = referrers.referent
    ORDER BY object_inref.inref;
$$;

COMMENT ON FUNCTION relpack.referrers(bigint) IS
    'The objects that refer to this one, as of the last pack, with class, size in bytes, and whether they can be '
    'reached from the root. missing: the row of that one vanished.';
-- +goose StatementEnd

-- sql/release_pack_lock.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.release_pack_lock()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- What was taken, though the storage may have another RelStorage by now.
    IF coalesce(nullif(current_setting('relpack.lock_protocol', true), ''), relpack.lock_protocol()) IN ('row', 'table') THEN
        PERFORM pg_advisory_unlock(23), pg_advisory_unlock(1);
    END IF;
    PERFORM pg_advisory_unlock(-2), set_config('relpack.lock_protocol', '', false);
END;
$$;

COMMENT ON FUNCTION relpack.release_pack_lock() IS
    'Releases what relpack.try_pack_lock() took in this session.';
-- +goose StatementEnd

-- sql/require_blob_owner.sql
-- +goose StatementBegin
-- Chunks of a blob are unlinked by RelStorage's trigger on blob_chunk. A DELETE
-- in object_state gets there by the foreign key, which acts with the rights of
-- blob_chunk's owner, whoever deletes; and a large object belongs to the role
-- that stored it. Most storages have one owner for all: that is seen at once.
CREATE OR REPLACE FUNCTION relpack.require_blob_owner()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
SET enable_hashjoin = on
SET enable_mergejoin = on
SET enable_seqscan = on
AS $$
DECLARE
    v_owner oid := (SELECT relowner FROM pg_class WHERE oid = to_regclass('public.blob_chunk'));
    v_foreign oid[];
    v_count bigint;
    v_zoids bigint[];
BEGIN
    IF v_owner IS NULL OR current_setting('lo_compat_privileges')::boolean THEN
        RETURN;
    END IF;
    SELECT array_agg(known.lomowner)
    INTO v_foreign
    FROM (SELECT DISTINCT lomowner FROM pg_largeobject_metadata) AS known
    WHERE NOT pg_has_role(v_owner, known.lomowner, 'USAGE');
    IF v_foreign IS NULL THEN
        RETURN;
    END IF;
    SELECT count(*), (array_agg(DISTINCT blob_chunk.zoid))[1:10], array_agg(DISTINCT known.lomowner)
    INTO v_count, v_zoids, v_foreign
    FROM relpack.doomed
    JOIN public.blob_chunk ON blob_chunk.zoid = doomed.zoid
    JOIN pg_largeobject_metadata AS known ON known.oid = blob_chunk.chunk
    WHERE known.lomowner = ANY (v_foreign);
    IF v_count > 0 THEN
        RAISE EXCEPTION '% that would be deleted % to %, and blob_chunk to %, which may not unlink them',
                        CASE v_count WHEN 1 THEN '1 large object' ELSE v_count || ' large objects' END,
                        CASE v_count WHEN 1 THEN 'belongs' ELSE 'belong' END, array_to_string(v_foreign::regrole[], ', '), v_owner::regrole
            USING ERRCODE = 'RP002',
                  DETAIL = format('Blobs: %s', array_to_string(v_zoids, ', ')),
                  HINT = (SELECT string_agg(format('GRANT %s TO %s;', owner::regrole, v_owner::regrole), ' ' ORDER BY owner)
                          FROM unnest(v_foreign) AS owner);
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_blob_owner() IS
    'Raises RP002 when large objects of what is in relpack.doomed belong to a role that the owner of blob_chunk is no '
    'member of: their deletion would fail.';
-- +goose StatementEnd

-- sql/require_blobs_mark.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.require_blobs_mark(mark jsonb)
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF mark IS NULL THEN
        RAISE EXCEPTION 'the file .relpack is not in the blob directory any more'
            USING ERRCODE = 'RP002', HINT = 'Find out who removed it.';
    END IF;
    IF coalesce(mark ->> 'origin', '') = '' OR coalesce(mark ->> 'cleared', '') !~ '^[0-9]{1,18}$' THEN
        RAISE EXCEPTION 'the file .relpack in the blob directory can''t be understood'
            USING ERRCODE = 'RP002', HINT = 'Remove it, if no other database has written it.';
    END IF;
    IF mark ->> 'origin' <> relpack.origin() THEN
        IF NOT has_function_privilege('pg_control_system()', 'EXECUTE') THEN
            RAISE EXCEPTION 'role % may not see the system identifier of the server: it can''t tell whose the blob directory is',
                current_user
                USING ERRCODE = 'RP002',
                      HINT = format('Let a superuser run: GRANT EXECUTE ON FUNCTION pg_control_system() TO %I;', current_user);
        END IF;
        RAISE EXCEPTION 'another database has cleared the blob directory: "%" (%), last at %; this one is %',
                        mark ->> 'database', mark ->> 'origin', mark ->> 'removed', relpack.origin()
            USING ERRCODE = 'RP002',
                  HINT = 'If the directory is a copy of the other database''s, or that one is gone for good: '
                         'remove the file .relpack from it.';
    END IF;
    IF mark ->> 'timeline' <> relpack.timeline() THEN
        RAISE EXCEPTION 'the blob directory was last cleared on timeline %, and the database is on % '
                        'since a standby took over, or a recovery: that may be a copy', mark ->> 'timeline', relpack.timeline()
            USING ERRCODE = 'RP002',
                  HINT = 'If this is the site''s database, remove the file .relpack from the directory. '
                         'If it is a copy, give it a directory of its own.';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_blobs_mark(jsonb) IS
    'Raises RP002 unless the file .relpack in a blob directory (relpack.blobs_mark) is this database''s, of this timeline.';
-- +goose StatementEnd

-- sql/require_cleared.sql
-- +goose StatementBegin
-- Old revisions that a pack takes may refer to what is garbage without them: as long as
-- one is there, an undo may bring it back.
CREATE OR REPLACE FUNCTION relpack.require_cleared()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_storage relpack.storage;
BEGIN
    v_storage := relpack.known_storage();
    IF NOT v_storage.keeps_history THEN
        RETURN;
    END IF;
    PERFORM relpack.trim_require();
    IF current_setting('relpack.settling', true) IS DISTINCT FROM 'settled' THEN
        RAISE EXCEPTION 'an undo may be in flight that began before this session took the pack lock'
            USING ERRCODE = 'RP002', HINT = 'Call relpack.trim_settle() until it returns true.';
    END IF;
    IF v_storage.cleared_tid < v_storage.horizon_tid THEN
        RAISE EXCEPTION 'the history is not trimmed up to the pack time of the graph: old revisions may refer to garbage'
            USING ERRCODE = 'RP002', HINT = 'Run "relpack pack".';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_cleared() IS
    'Precondition of relpack.sweep() in a history-preserving storage: raises RP002 unless what relpack.trim_require() asks '
    'holds, undos that had begun are over, and all of the history was trimmed up to the horizon of the graph.';
-- +goose StatementEnd

-- sql/require_cut_off.sql
-- +goose StatementBegin
-- The last look before a deletion, past all that led to the choice: nothing chosen
-- may have a live referrer. Whoever lost a suspect would lose live objects. Most
-- referrers of garbage are chosen themselves, and only the others are looked up.
-- For many that is one pass over relpack.doomed, for a few it goes by index: the
-- size of the table tells. References are looked up in the order in which objects
-- were chosen, that of zoids.
CREATE OR REPLACE FUNCTION relpack.require_cut_off()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
SET jit = off
SET enable_hashjoin = on
SET enable_mergejoin = off
SET enable_seqscan = on
SET enable_bitmapscan = off
SET max_parallel_workers_per_gather = 0
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_held text;
BEGIN
    WITH kept AS MATERIALIZED (
        SELECT edge.zoid, edge.inref
        FROM (
            SELECT doomed.zoid, referrer.inref
            FROM relpack.doomed
            CROSS JOIN LATERAL (
                SELECT inref FROM relpack.object_inref WHERE object_inref.zoid = doomed.zoid OFFSET 0
            ) AS referrer
        ) AS edge
        LEFT JOIN relpack.doomed AS chosen ON chosen.zoid = edge.inref
        WHERE chosen.zoid IS NULL
    )
    SELECT string_agg(format('%s (from %s)', few.zoid, few.inref), ', ' ORDER BY few.zoid)
    INTO v_held
    FROM (
        SELECT kept.zoid, min(kept.inref) AS inref
        FROM kept
        CROSS JOIN LATERAL (
            SELECT FROM relpack.object WHERE object.zoid = kept.inref AND object.parent IS NOT NULL OFFSET 0
        ) AS live
        GROUP BY kept.zoid
        ORDER BY kept.zoid
        LIMIT 10
    ) AS few;
    IF v_held IS NOT NULL THEN
        RAISE EXCEPTION 'the graph does not describe the storage: live objects refer to what would be deleted: zoid %', v_held
            USING ERRCODE = 'RP002',
                  CONSTRAINT = 'what_is_deleted_is_cut_off',
                  HINT = 'Run "relpack pack": it reads everything again, and mends the graph.';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_cut_off() IS
    'Step of relpack.doom(): raises RP002 when a live object refers to one of relpack.doomed, which can''t be where '
    'the graph describes the storage.';
-- +goose StatementEnd

-- sql/require_deletable.sql
-- +goose StatementBegin
-- A DELETE that would do something else to other tables, or nothing at all. A key
-- that merely refuses (NO ACTION, RESTRICT) keeps what it holds, and nothing else;
-- what BEFORE triggers do is seen afterwards (relpack.sweep_delete).
CREATE OR REPLACE FUNCTION relpack.require_deletable()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Of a history-free storage the last two are NULL.
    v_tables oid[] := ARRAY[to_regclass('public.object_state'), to_regclass('public.blob_chunk'),
                            to_regclass('public.current_object'), to_regclass('public.transaction')];
    v_rules text;
    v_keys text;
BEGIN
    SELECT string_agg(format('%I on %s', pg_rewrite.rulename, pg_rewrite.ev_class::regclass), ', ' ORDER BY pg_rewrite.rulename)
    INTO v_rules
    FROM pg_rewrite
    WHERE pg_rewrite.ev_class = ANY (v_tables)
      AND pg_rewrite.ev_type = '4' AND pg_rewrite.ev_enabled <> 'D';
    IF v_rules IS NOT NULL THEN
        RAISE EXCEPTION 'rules change what a DELETE does: %', v_rules
            USING ERRCODE = 'RP002', HINT = 'Drop them: DROP RULE name ON table.';
    END IF;
    SELECT string_agg(format('%I on %s (ON DELETE %s)', pg_constraint.conname, pg_constraint.conrelid::regclass,
                             CASE pg_constraint.confdeltype
                             WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' ELSE 'SET DEFAULT' END), ', '
                      ORDER BY pg_constraint.conname, pg_constraint.conrelid)
    INTO v_keys
    FROM pg_constraint
    WHERE pg_constraint.contype = 'f'
      AND pg_constraint.confrelid = ANY (v_tables)
      AND pg_constraint.confdeltype IN ('c', 'n', 'd')
      AND (pg_constraint.conrelid, pg_constraint.confrelid)
          IS DISTINCT FROM (to_regclass('public.blob_chunk'), to_regclass('public.object_state'));
    IF v_keys IS NOT NULL THEN
        RAISE EXCEPTION 'foreign keys would change rows of other tables when garbage is deleted: %', v_keys
            USING ERRCODE = 'RP002', HINT = 'Change them to ON DELETE NO ACTION, so that the objects they refer to stay, or drop them.';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_deletable() IS
    'Step of relpack.require_settled(): raises RP002 when a DELETE of objects would change rows of tables that are '
    'not RelStorage''s (foreign keys with CASCADE, SET NULL or SET DEFAULT), or when rules on DELETE say what it does.';
-- +goose StatementEnd

-- sql/require_deleted.sql
-- +goose StatementBegin
-- A BEFORE trigger that returns NULL, and a rule, leave a row where it is, and
-- the server says no word. Without such a trigger, or in another revision, it is
-- one that was stored in the meantime.
CREATE OR REPLACE FUNCTION relpack.require_deleted(tablename regclass, remain bigint[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_triggers text;
BEGIN
    IF cardinality(remain) = 0 THEN
        RETURN;
    END IF;
    -- Of tgtype: FOR EACH ROW (1), BEFORE (2), DELETE (8).
    SELECT string_agg(tgname, ', ' ORDER BY tgname)
    INTO v_triggers
    FROM pg_trigger
    WHERE tgrelid = tablename AND NOT tgisinternal AND tgenabled <> 'D' AND tgtype & 11 = 11
      AND (tgname NOT LIKE 'blob\_chunk\_delete%' OR tablename = 'public.object_state'::regclass);
    IF v_triggers IS NULL
       OR (tablename = 'public.object_state'::regclass AND NOT EXISTS (
               SELECT
               FROM relpack.stored()
               JOIN relpack.object ON object.zoid = stored.zoid AND object.tid = stored.tid
               WHERE stored.zoid = ANY (remain))) THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'stale';
    END IF;
    RAISE EXCEPTION 'a trigger on % keeps rows that are to be deleted: %', tablename, v_triggers
        USING ERRCODE = 'RP002',
              DETAIL = format('Kept: zoid %s', array_to_string(remain[1:10], ', ')),
              HINT = 'Nothing of this batch was deleted. Drop the trigger, or let it return OLD.';
END;
$$;

COMMENT ON FUNCTION relpack.require_deleted(regclass, bigint[]) IS
    'Step of relpack.sweep_delete(): raises RP002 with the trigger''s name when remain, rows of this table that were '
    'to be deleted, is not empty; RP003 (stale) where they are not the same rows, or no trigger can have kept them.';
-- +goose StatementEnd

-- sql/require_history.sql
-- +goose StatementBegin
-- What becomes current beside a trim is protected by nothing but RelStorage's keys, and
-- a revision that isn't seen is taken for one that isn't there.
CREATE OR REPLACE FUNCTION relpack.require_history()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_off text;
BEGIN
    SELECT string_agg(expected.name, ', ' ORDER BY expected.name)
    INTO v_off
    FROM (VALUES ('object_state', 'zoid bigint'), ('object_state', 'tid bigint'), ('object_state', 'prev_tid bigint'),
                 ('object_state', 'state_size bigint'), ('object_state', 'state bytea'),
                 ('current_object', 'zoid bigint'), ('current_object', 'tid bigint'),
                 ('transaction', 'tid bigint'), ('transaction', 'packed boolean')) AS expected (relation, name)
    WHERE NOT EXISTS (
        SELECT
        FROM pg_class
        JOIN pg_attribute ON attrelid = pg_class.oid
        WHERE relnamespace = 'public'::regnamespace AND relname = expected.relation AND relkind = 'r'
          AND format('%s %s', attname, format_type(atttypid, NULL)) = expected.name);
    IF v_off IS NOT NULL THEN
        RAISE EXCEPTION 'the storage lacks columns of a history-preserving one: %', v_off USING ERRCODE = 'RP002';
    END IF;
    IF row_security_active('public.object_state') OR row_security_active('public.current_object')
       OR row_security_active('public.transaction') THEN
        RAISE EXCEPTION 'row-level security may hide revisions from role %', current_user
            USING ERRCODE = 'RP002', HINT = format('ALTER ROLE %I BYPASSRLS; or pack as the owner of object_state.', current_user);
    END IF;
    IF EXISTS (SELECT FROM pg_inherits
               WHERE inhparent IN ('public.object_state'::regclass, 'public.current_object'::regclass, 'public.transaction'::regclass)
                  OR inhrelid IN ('public.object_state'::regclass, 'public.current_object'::regclass, 'public.transaction'::regclass)) THEN
        RAISE EXCEPTION 'a table of the storage inherits or is inherited from' USING ERRCODE = 'RP002';
    END IF;
    v_off := relpack.trim_keys();
    IF v_off IS NOT NULL THEN
        RAISE EXCEPTION 'keys of RelStorage are missing or switched off: %', v_off
            USING ERRCODE = 'RP002', HINT = 'ALTER TABLE ... ADD, VALIDATE or DROP CONSTRAINT, or ENABLE TRIGGER ALL. '
                                             'If pg_restore is running, wait for its end.';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_history() IS
    'Step of relpack.trim_require(): raises RP002 unless the tables of a history-preserving storage are as relpack can '
    'trim them, all of them is seen, and their keys hold (relpack.trim_keys()).';
-- +goose StatementEnd

-- sql/require_kind.sql
-- +goose StatementBegin
-- What is right for one kind of storage deletes live data of the other.
CREATE OR REPLACE FUNCTION relpack.require_kind(history boolean)
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_keeps boolean := relpack.keeps_history();
    v_storage relpack.storage := relpack.known_storage();
BEGIN
    IF v_keeps <> v_storage.keeps_history THEN
        RAISE EXCEPTION 'the storage is %, and was % when relpack was installed',
                        CASE WHEN v_keeps THEN 'history-preserving' ELSE 'history-free' END,
                        CASE WHEN v_keeps THEN 'history-free' ELSE 'history-preserving' END
            USING ERRCODE = 'RP002', HINT = 'Run "relpack migrate down", then "relpack migrate up": '
                                             'what relpack knows is of the other one.';
    END IF;
    IF history AND NOT v_keeps THEN
        RAISE EXCEPTION 'the storage is history-free: there is nothing to trim' USING ERRCODE = 'RP002';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_kind(boolean) IS
    'Raises RP002 unless the storage is of the kind that it was when relpack was installed, and with history a '
    'history-preserving one, or where relpack.storage has lost its row.';
-- +goose StatementEnd

-- sql/require_no_holes.sql
-- +goose StatementBegin
-- A graph that is built again knows nothing of what hung on rows that vanished:
-- it would be garbage. What was found missing stays known when the graph itself
-- is lost. Rows that no pack has looked for yet are no better, whether or not
-- anything told of their deletion: every node is looked up, which takes little
-- beside a build. While one is being built, there are no indexes to look by.
CREATE OR REPLACE FUNCTION relpack.require_no_holes()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
AS $$
DECLARE
    v_built boolean := EXISTS (SELECT FROM relpack.storage WHERE graph IN ('current', 'doubtful', 'reshaping'));
    v_missing text;
    v_unseen bigint[];
BEGIN
    PERFORM relpack.lock_storage();
    SELECT string_agg(format('zoid %s%s', few.zoid, CASE WHEN v_built THEN (
               SELECT format(' (from %s)', array_to_string(missing_object.inrefs, ', '))
               FROM relpack.missing_object
               WHERE missing_object.zoid = few.zoid) END), '; ' ORDER BY few.zoid)
    INTO v_missing
    FROM (
        SELECT missing.zoid
        FROM relpack.missing
        WHERE NOT missing.accepted
          AND NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = missing.zoid)
        ORDER BY missing.zoid
        LIMIT 10
    ) AS few;
    IF v_missing IS NOT NULL THEN
        RAISE EXCEPTION 'objects are missing to which others refer: %', v_missing
            USING ERRCODE = 'RP002',
                  HINT = 'Restore their rows, or give up each with --accept-missing ZOID: '
                         'a graph that is built again does not know what hangs on them.';
    END IF;
    IF NOT v_built THEN
        RETURN;
    END IF;
    -- While the walk is not over, what is detached may be alive.
    v_unseen := ARRAY(
        SELECT object.zoid
        FROM relpack.object
        WHERE (object.parent IS NOT NULL
               OR EXISTS (SELECT FROM relpack.suspect)
               OR EXISTS (SELECT FROM relpack.storage WHERE graph = 'reshaping'))
          AND NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = object.zoid)
          AND NOT EXISTS (SELECT FROM relpack.missing WHERE missing.zoid = object.zoid)
        LIMIT 10);
    IF v_unseen <> '{}' THEN
        RAISE EXCEPTION 'rows are gone to which live objects may refer, and no pack has noted that yet: zoid %',
                        array_to_string(v_unseen, ', ')
            USING ERRCODE = 'RP002',
                  HINT = CASE
                      -- No other run would come as far as to list it.
                      WHEN relpack.graph_lost() IS NOT NULL
                          THEN 'Restore their rows, or give up each with --accept-missing ZOID: '
                               'a graph that is built again does not know what hangs on them.'
                      WHEN relpack.doubt() IS NOT NULL
                           OR EXISTS (SELECT FROM relpack.write_event)
                           OR EXISTS (SELECT FROM relpack.pending)
                          THEN 'Run "relpack pack --dry-run" first: it lists what is missing.'
                      ELSE 'Run "relpack verify --repair" first: it lists what is missing.'
                  END;
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_no_holes() IS
    'Raises RP002 while objects are missing, unless they were given up, or nodes of live objects have no row: before '
    'the graph is forgotten.';
-- +goose StatementEnd

-- sql/require_none_missing.sql
-- +goose StatementBegin
-- Where rows were lost, files without a row may be what is left of them, or of what hung on
-- them: that nobody knows. What garbage refers to counts, it may be attached again until a
-- pack deletes it. In a history-preserving storage an undo brings back what any stored
-- revision refers to: all of their references have to be recorded.
CREATE OR REPLACE FUNCTION relpack.require_none_missing(given_up bigint DEFAULT 0)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_storage relpack.storage := relpack.known_storage();
    v_missing text;
    v_lost bigint;
BEGIN
    SELECT string_agg(few.zoid::text, ', ' ORDER BY few.zoid)
    INTO v_missing
    FROM (SELECT missing.zoid FROM relpack.missing ORDER BY missing.zoid LIMIT 10) AS few;
    IF v_missing IS NOT NULL THEN
        RAISE EXCEPTION 'rows have vanished to which others refer, and files of objects that are gone may belong to them: zoid %', v_missing
            USING ERRCODE = 'RP002',
                  HINT = '"relpack check" says where they are. Restore them, or give up each with "relpack pack --accept-missing ZOID".';
    END IF;
    IF v_storage.horizon_tid > v_storage.cleared_tid THEN
        RAISE EXCEPTION 'not all references of old revisions are recorded: an undo may bring back objects that are gone'
            USING ERRCODE = 'RP002', HINT = 'Call relpack.horizon_lower(), and have the objects in relpack.pending read.';
    END IF;
    SELECT count(*), string_agg(lost.zoid::text, ', ' ORDER BY lost.zoid) FILTER (WHERE lost.place <= 10)
    INTO v_lost, v_missing
    FROM (
        SELECT dangling.zoid, row_number() OVER (ORDER BY dangling.zoid) AS place
        FROM relpack.dangling
        WHERE EXISTS (SELECT FROM relpack.object_inref WHERE object_inref.zoid = dangling.zoid OFFSET 0)
    ) AS lost;
    IF v_lost > coalesce(given_up, 0) THEN
        RAISE EXCEPTION 'others refer to % that % not stored, and files of objects that are gone may belong to what hung on %: zoid %',
                        CASE v_lost WHEN 1 THEN '1 object' ELSE v_lost || ' objects' END,
                        CASE v_lost WHEN 1 THEN 'is' ELSE 'are' END,
                        CASE v_lost WHEN 1 THEN 'it' ELSE 'them' END, v_missing
            USING ERRCODE = 'RP002',
                  HINT = format('"relpack check" says who refers to them. Restore them; or, if all of them are given up, '
                                'add "--given-up %s".', v_lost);
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_none_missing(bigint) IS
    'Precondition of the removal of files of objects that are gone (relpack.blobs_orphaned). '
    'Raises RP002 while rows are missing to which others refer, or more objects than somebody has given up are not stored '
    'to which others refer, or while the graph of a history-preserving storage lacks references of stored revisions.';
-- +goose StatementEnd

-- sql/require_own.sql
-- +goose StatementBegin
-- Whoever has code of his own run on relpack's tables, or owns a part of relpack,
-- decides what is deleted, and acts with the rights of who packs.
CREATE OR REPLACE FUNCTION relpack.require_own()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_foreign text;
BEGIN
    -- Without variables the plan is kept where those of a sweep are made again.
    WITH storage AS MATERIALIZED (
        SELECT relowner AS owner FROM pg_class WHERE oid = to_regclass('public.object_state')
    ), own AS MATERIALIZED (
        SELECT *
        FROM pg_class
        WHERE relnamespace = 'relpack'::regnamespace AND relkind NOT IN ('i', 'I', 't')
    )
    SELECT min(found.what)
    INTO v_foreign
    FROM (
        SELECT format('schema relpack belongs to %s, object_state to %s', nspowner::regrole, (SELECT owner FROM storage)::regrole)
        FROM pg_namespace
        WHERE nspname = 'relpack' AND nspowner <> (SELECT owner FROM storage)
        UNION ALL
        SELECT format('relpack.%I belongs to %s, object_state to %s', relname, relowner::regrole, (SELECT owner FROM storage)::regrole)
        FROM own
        WHERE relowner <> (SELECT owner FROM storage)
        UNION ALL
        SELECT format('function relpack.%I belongs to %s, object_state to %s',
                      proname, proowner::regrole, (SELECT owner FROM storage)::regrole)
        FROM pg_proc
        WHERE pronamespace = 'relpack'::regnamespace AND proowner <> (SELECT owner FROM storage)
        UNION ALL
        SELECT format('there is a rule %I on relpack.%I', rulename, relname)
        FROM own
        JOIN pg_rewrite ON ev_class = own.oid
        WHERE relkind <> 'v' AND relhasrules
        UNION ALL
        SELECT format('there is a trigger %I on relpack.%I', tgname, relname)
        FROM own
        JOIN pg_trigger ON tgrelid = own.oid
        WHERE relhastriggers AND NOT tgisinternal
          AND tgfoid NOT IN ((SELECT to_regprocedure('relpack.guard_graph()')), (SELECT to_regprocedure('relpack.note_unreferred()')))
        UNION ALL
        -- Found by its trigger, as no index finds it otherwise.
        SELECT format('there is a foreign key %I of %s on relpack.%I', conname, tgconstrrelid::regclass, relname)
        FROM own
        JOIN pg_trigger ON tgrelid = own.oid
        JOIN pg_constraint ON pg_constraint.oid = tgconstraint
        WHERE relhastriggers AND tgisinternal AND tgconstrrelid <> 0 AND tgconstrrelid NOT IN (SELECT oid FROM own)
        UNION ALL
        SELECT given.what
        FROM (
            SELECT format('%s has CREATE on schema relpack: "REVOKE CREATE ON SCHEMA relpack FROM %1$s"',
                          CASE grantee WHEN 0 THEN 'PUBLIC' ELSE format('%I', pg_get_userbyid(grantee)) END), grantee
            FROM pg_namespace, aclexplode(nspacl)
            WHERE nspname = 'relpack' AND privilege_type = 'CREATE'
            UNION ALL
            SELECT format('%s has %s on relpack.%I: "REVOKE %2$s ON relpack.%3$I FROM %1$s"',
                          CASE grantee WHEN 0 THEN 'PUBLIC' ELSE format('%I', pg_get_userbyid(grantee)) END,
                          privilege_type, relname), grantee
            FROM own, aclexplode(relacl)
            WHERE privilege_type IN ('TRIGGER', 'REFERENCES')
            UNION ALL
            SELECT format('%s has REFERENCES on column %I of relpack.%I: "REVOKE REFERENCES (%2$I) ON relpack.%3$I FROM %1$s"',
                          CASE grantee WHEN 0 THEN 'PUBLIC' ELSE format('%I', pg_get_userbyid(grantee)) END, attname, relname), grantee
            FROM own
            CROSS JOIN LATERAL (
                SELECT attname, attacl FROM pg_attribute WHERE attrelid = own.oid AND attnum > 0 AND attacl IS NOT NULL OFFSET 0
            ) AS attribute
            CROSS JOIN aclexplode(attacl)
            WHERE privilege_type = 'REFERENCES'
        ) AS given (what, grantee)
        WHERE NOT EXISTS (
            SELECT
            FROM pg_roles
            WHERE pg_roles.oid = given.grantee
              AND (rolsuper OR pg_has_role(pg_roles.oid, (SELECT owner FROM storage), 'MEMBER')))
        UNION ALL
        SELECT format('relpack.%I is no plain table: it inherits, is inherited from, or has policies', relname)
        FROM own
        WHERE relkind = 'p'
           OR relrowsecurity
           OR (relhassubclass AND EXISTS (SELECT FROM pg_inherits WHERE inhparent = own.oid))
           OR (relkind = 'r' AND EXISTS (SELECT FROM pg_inherits WHERE inhrelid = own.oid))
    ) AS found (what);
    IF v_foreign IS NOT NULL THEN
        RAISE EXCEPTION 'others may decide what relpack deletes: %', v_foreign
            USING ERRCODE = 'RP002',
                  HINT = '"relpack migrate up" takes such rights back. Remove anything else, or run "DROP SCHEMA relpack CASCADE" '
                         'and "relpack migrate up": the graph can always be built again.';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_own() IS
    'Raises RP002 when others may decide what relpack deletes. '
    'That is where a part of relpack belongs to another role than object_state, or somebody has put a rule, a '
    'trigger, a foreign key, a policy or an heir on one of its tables, or may do so: has TRIGGER or REFERENCES on '
    'one, or CREATE on the schema.';
-- +goose StatementEnd

-- sql/require_pack_lock.sql
-- +goose StatementBegin
-- Every function that writes the graph begins with this: there is one writer.
CREATE OR REPLACE FUNCTION relpack.require_pack_lock(history boolean DEFAULT false)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_protocol text;
    v_other text;
BEGIN
    IF pg_is_in_recovery() THEN
        RAISE EXCEPTION 'this server is a standby: relpack works on the primary' USING ERRCODE = 'RP002';
    END IF;
    -- Capture and sweep look again after they got a lock; with an older
    -- snapshot they would look at the past.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'relpack needs READ COMMITTED, this transaction is %',
                        upper(current_setting('transaction_isolation'))
            USING ERRCODE = 'RP002';
    END IF;
    PERFORM relpack.require_kind(history);
    v_protocol := relpack.require_protocol();
    -- A session that holds the locks gets them again.
    IF pg_try_advisory_xact_lock(-2)
       AND (v_protocol = 'advisory'
            OR (pg_try_advisory_xact_lock(1) AND pg_try_advisory_xact_lock(23))) THEN
        RETURN;
    END IF;
    -- Nobody is seen who has just let go of it, or has prepared his transaction.
    SELECT format(': pid %s, application "%s"%s', holder.pid, holder.application, ', since ' || holder.since)
    INTO v_other
    FROM relpack.pack_lock_holder() AS holder
    WHERE holder.pid <> pg_backend_pid()
    LIMIT 1;
    RAISE EXCEPTION 'another pack is running%', coalesce(v_other, '')
        USING ERRCODE = 'RP001', HINT = 'Try again when it has ended.';
END;
$$;

COMMENT ON FUNCTION relpack.require_pack_lock(boolean) IS
    'Makes sure that this session is the only packer: it holds the pack lock, or gets it until its transaction ends. '
    'Raises RP001 when another pack runs, RP002 on a standby, when the transaction is not READ COMMITTED, when '
    'RelStorage''s locks are unknown or others than before, or when the storage is not of this kind (relpack.require_kind()).';
-- +goose StatementEnd

-- sql/require_packable.sql
-- +goose StatementBegin
-- For who only looks, on a standby as well: no lock of a packer's is asked for, and
-- nothing that the next pack mends.
CREATE OR REPLACE FUNCTION relpack.require_packable()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_protocol();
    PERFORM relpack.require_storage();
    IF relpack.keeps_history() THEN
        PERFORM relpack.require_history();
    END IF;
    PERFORM relpack.require_deletable();
END;
$$;

COMMENT ON FUNCTION relpack.require_packable() IS
    'Raises RP002 for what refuses each pack of this storage until somebody acts: see relpack.require_protocol(), '
    'require_storage(), require_history() and require_deletable(). Changes nothing.';
-- +goose StatementEnd

-- sql/require_packer.sql
-- +goose StatementBegin
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
-- +goose StatementEnd

-- sql/require_packer_alive.sql
-- +goose StatementBegin
-- Other sessions of a pack send what they read: if the one that holds the pack
-- lock is lost, another pack may have begun, and this one's word is worth nothing.
CREATE OR REPLACE FUNCTION relpack.require_packer_alive(packer integer)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM relpack.pack_lock_holder() AS holder WHERE holder.pid = packer) THEN
        RAISE EXCEPTION 'the session that holds the pack lock has ended' USING ERRCODE = 'RP004';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_packer_alive(integer) IS
    'Raises RP004 unless the session packer holds the pack lock: for what a pack does in its other sessions.';
-- +goose StatementEnd

-- sql/require_protocol.sql
-- +goose StatementBegin
-- RelStorage may be upgraded in the middle of a run: what was a packers' lock
-- before is then an object's.
CREATE OR REPLACE FUNCTION relpack.require_protocol()
RETURNS text
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_protocol text := relpack.lock_protocol();
    v_before text := nullif(current_setting('relpack.lock_protocol', true), '');
BEGIN
    IF v_protocol = 'unknown' THEN
        RAISE EXCEPTION 'how RelStorage locks in this database is not known: it has neither a function '
                        'lock_objects_and_detect_conflicts that locks rows or takes advisory locks, '
                        'nor the table commit_lock without the table commit_row_lock'
            USING ERRCODE = 'RP002', HINT = 'Start RelStorage once: it creates what it needs. '
                                             'RelStorage newer than 4.3 may need a newer relpack.';
    END IF;
    IF v_before <> v_protocol THEN
        RAISE EXCEPTION 'RelStorage uses other locks than when this session took the pack lock (% instead of %): '
                        'it was upgraded or downgraded',
                        v_protocol, v_before
            USING ERRCODE = 'RP002', HINT = 'Run relpack again. Finished work is kept.';
    END IF;
    RETURN v_protocol;
END;
$$;

COMMENT ON FUNCTION relpack.require_protocol() IS
    'relpack.lock_protocol(); raises RP002 when that is unknown, or another one than when this session took the pack lock.';
-- +goose StatementEnd

-- sql/require_root.sql
-- +goose StatementBegin
-- All that is reachable is so from object 0. Nothing that RelStorage does empties it: an
-- undo of its creation is refused. A restore may, or a statement in psql, and one row mends
-- that as long as nothing was taken for garbage.
CREATE OR REPLACE FUNCTION relpack.require_root()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    v_bytes bigint;
BEGIN
    SELECT coalesce(octet_length(stored.state), 0)
    INTO v_bytes
    FROM relpack.stored()
    WHERE stored.zoid = 0
    ORDER BY stored.tid DESC
    LIMIT 1;
    IF v_bytes = 0 THEN
        RAISE EXCEPTION 'the root object (zoid 0) has no state: everything would look like garbage'
            USING ERRCODE = 'RP002', HINT = 'Restore the state of object 0 from a backup.';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_root() IS
    'Step of relpack.require_storage() and relpack.trim_require(): raises RP002 when object 0 is stored, and its newest '
    'revision has no state.';
-- +goose StatementEnd

-- sql/require_settled.sql
-- +goose StatementBegin
-- Preconditions of every deletion.
CREATE OR REPLACE FUNCTION relpack.require_settled()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_storage relpack.storage;
    v_doubt text := relpack.doubt();
    v_difference text := (SELECT audit.difference FROM relpack.audit);
    v_problems text;
BEGIN
    PERFORM relpack.require_storage();
    IF current_setting('session_replication_role') = 'replica' THEN
        RAISE EXCEPTION 'session_replication_role is replica: what belongs to deleted rows would stay'
            USING ERRCODE = 'RP002', HINT = 'SET session_replication_role = origin;';
    END IF;
    PERFORM relpack.require_deletable();
    v_storage := relpack.known_storage();
    IF v_storage.graph = 'reshaping' THEN
        RAISE EXCEPTION 'new parents are being chosen for all objects'
            USING ERRCODE = 'RP002', HINT = 'Call relpack.reach().';
    ELSIF v_storage.graph NOT IN ('current', 'doubtful') THEN
        RAISE EXCEPTION 'the graph is not built yet'
            USING ERRCODE = 'RP002', HINT = 'Run "relpack pack --dry-run": it builds the graph and deletes nothing.';
    END IF;
    IF v_doubt IS NOT NULL THEN
        RAISE EXCEPTION 'the graph may not match the storage: %', v_doubt
            USING ERRCODE = 'RP002', HINT = 'Run "relpack pack": it compares the two.';
    END IF;
    IF v_difference IS NOT NULL THEN
        RAISE EXCEPTION 'the graph does not describe the storage: %', v_difference
            USING ERRCODE = 'RP002', HINT = 'Run "relpack pack": it reads everything again, and mends the graph.';
    END IF;
    IF v_storage.applied_tid <> v_storage.watermark
       OR EXISTS (SELECT FROM relpack.pending) THEN
        RAISE EXCEPTION 'captured changes are not applied yet'
            USING ERRCODE = 'RP002', HINT = 'Run "relpack pack".';
    END IF;
    IF v_storage.resettle OR EXISTS (SELECT FROM relpack.suspect) THEN
        RAISE EXCEPTION 'the reachability of some objects is not settled yet'
            USING ERRCODE = 'RP002', HINT = 'Call relpack.reach().';
    END IF;
    SELECT string_agg(format('zoid %s: %s', few.zoid, few.detail), '; ' ORDER BY few.zoid)
    INTO v_problems
    FROM (
        SELECT problem.zoid, problem.detail
        FROM relpack.problem
        WHERE problem.blocks
          AND EXISTS (SELECT FROM relpack.object WHERE object.zoid = problem.zoid AND object.parent IS NOT NULL OFFSET 0)
        ORDER BY problem.zoid
        LIMIT 10
    ) AS few;
    IF v_problems IS NOT NULL THEN
        RAISE EXCEPTION 'reachable objects can''t be decoded: what they refer to is unknown'
            USING ERRCODE = 'RP002', DETAIL = v_problems,
                  HINT = concat(
                      'Restore these objects, or cut them off: "relpack check" says where they are. '
                      'To list them all: SELECT * FROM relpack.problem WHERE blocks;',
                      CASE WHEN v_storage.keeps_history
                      THEN ' If these are old revisions that the next pack removes: "relpack pack --dry-run" goes by its time.' END);
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_settled() IS
    'Raises RP002 unless the graph is current, trusted, found to be right where it was audited, up to what was '
    'captured, settled, and free of undecodable live objects, and unless deleting an object changes nothing else.';
-- +goose StatementEnd

-- sql/require_storage.sql
-- +goose StatementBegin
-- What no comparison can heal is refused here.
CREATE OR REPLACE FUNCTION relpack.require_storage()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_off text;
    v_columns text[] := ARRAY['zoid bigint', 'tid bigint', 'state_size bigint', 'state bytea'];
BEGIN
    PERFORM relpack.lock_storage();
    -- Triggers fire for statements that name their table: a write to another
    -- table of the family, whose rows would be read, would not be noticed.
    IF (SELECT relkind FROM pg_class WHERE oid = to_regclass('public.object_state')) <> 'r'
       OR EXISTS (SELECT FROM pg_inherits WHERE to_regclass('public.object_state') IN (inhparent, inhrelid)) THEN
        RAISE EXCEPTION 'public.object_state is no plain table: it is partitioned, inherits or is inherited from, or is a view'
            USING ERRCODE = 'RP002';
    END IF;
    IF row_security_active('public.object_state') THEN
        RAISE EXCEPTION 'row-level security may hide objects from role %: what these refer to would look like garbage', current_user
            USING ERRCODE = 'RP002', HINT = format('ALTER ROLE %I BYPASSRLS; or pack as the owner of object_state.', current_user);
    END IF;
    SELECT string_agg(expected.name, ', ' ORDER BY expected.name)
    INTO v_off
    FROM unnest(v_columns) AS expected (name)
    WHERE expected.name <> ALL (ARRAY(
        SELECT format('%s %s', attname, format_type(atttypid, NULL))
        FROM pg_attribute
        WHERE attrelid = to_regclass('public.object_state') AND attnum > 0));
    IF v_off IS NOT NULL THEN
        RAISE EXCEPTION 'public.object_state lacks columns of RelStorage: %', v_off USING ERRCODE = 'RP002';
    END IF;
    -- RelStorage may use either.
    SELECT format('%I.object_state', nspname)
    INTO v_off
    FROM pg_class
    JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relname = 'object_state'
      AND relkind IN ('r', 'p')
      AND nspname <> 'public'
      AND nspname !~ '^pg_'
      AND ARRAY(SELECT format('%s %s', attname, format_type(atttypid, NULL))
                FROM pg_attribute
                WHERE attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped) @> v_columns
    LIMIT 1;
    IF v_off IS NOT NULL THEN
        RAISE EXCEPTION 'there are two storages, public.object_state and %', v_off
            USING ERRCODE = 'RP002',
                  HINT = 'relpack packs public.object_state: if that is the one the application uses, rename or move the other.';
    END IF;
    SELECT pubname
    INTO v_off
    FROM pg_publication
    WHERE puballtables
       OR EXISTS (SELECT FROM pg_publication_namespace WHERE pnpubid = pg_publication.oid AND pnnspid = 'relpack'::regnamespace)
       OR EXISTS (SELECT
                  FROM pg_publication_rel
                  JOIN pg_class ON pg_class.oid = prrelid
                  WHERE prpubid = pg_publication.oid AND relnamespace = 'relpack'::regnamespace)
    LIMIT 1;
    IF v_off IS NOT NULL THEN
        RAISE EXCEPTION 'the publication % includes relpack''s tables, which stops its subscribers', v_off
            USING ERRCODE = 'RP002', HINT = 'Publish with FOR TABLES IN SCHEMA public instead.';
    END IF;
    PERFORM relpack.require_own();
    SELECT string_agg(expected.name, ', ' ORDER BY expected.name)
    INTO v_off
    FROM relpack.missing_trigger() AS expected (name);
    IF v_off IS NOT NULL THEN
        RAISE EXCEPTION 'triggers of relpack are missing or disabled: %', v_off
            USING ERRCODE = 'RP002', HINT = 'Run "relpack migrate up": it installs them again.';
    END IF;
    IF NOT EXISTS (SELECT FROM relpack.stored() WHERE zoid = 0) THEN
        -- Asked last: rows that were deleted may precede the first that is there.
        IF NOT EXISTS (SELECT FROM relpack.stored()) THEN
            RAISE EXCEPTION 'the storage is empty: there is nothing to pack'
                USING ERRCODE = 'RP002',
                      HINT = 'An application writes object 0 when it opens the storage for the first time. '
                             'If there were objects, restore them from a backup.';
        END IF;
        RAISE EXCEPTION 'the storage has no root object (zoid 0): everything would look like garbage'
            USING ERRCODE = 'RP002', HINT = 'Restore object 0 from a backup.';
    END IF;
    PERFORM relpack.require_root();
END;
$$;

COMMENT ON FUNCTION relpack.require_storage() IS
    'Locks object_state as relpack.lock_storage() does, and raises RP002 where it can''t be packed. '
    'The storage has no root object, or one without a state (relpack.require_root()), is no plain table, has other columns '
    'or may not be seen whole, or is one of two in the database; or relpack''s tables are published or not its own, or its '
    'triggers are not in force.';
-- +goose StatementEnd

-- sql/require_unreferred.sql
-- +goose StatementBegin
-- What another database refers to looks like garbage here. To know the number of
-- references is not enough to tell it from garbage: what they lead to may refer
-- to more.
CREATE OR REPLACE FUNCTION relpack.require_unreferred()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_holders text;
    v_known text;
    v_unread text[];
BEGIN
    SELECT string_agg(
               format('%s (%s)', holder,
                      CASE
                          WHEN refs > 0 THEN format('%s reference%s', refs, CASE WHEN refs > 1 THEN 's' END)
                          WHEN unreadable > 0 THEN
                              format('%s object%s that can''t be decoded', unreadable, CASE WHEN unreadable > 1 THEN 's' END)
                          ELSE 'never read'
                      END), ', ' ORDER BY holder),
           string_agg(DISTINCT format('SELECT relpack.forget_referrer(%L);', holder), ' ') FILTER (WHERE looked IS NOT NULL),
           array_agg(DISTINCT holder) FILTER (WHERE looked IS NULL)
    INTO v_holders, v_known, v_unread
    FROM relpack.referred_by
    WHERE refs > 0 OR unreadable > 0 OR looked IS NULL;
    IF v_holders IS NOT NULL THEN
        RAISE EXCEPTION 'objects of other databases refer to this storage, or may: %; what they refer to looks like garbage here', v_holders
            USING ERRCODE = 'RP002',
                  HINT = concat_ws(' ',
                      'Pack it together with them (zc.zodbdgc does). Of storages that are gone: ' || v_known,
                      (SELECT format('Correct the dsn of %s in the configuration file, run "relpack migrate up" there, and pack again. '
                                     'If they refer to nothing here, and never will: '
                                     'UPDATE relpack.referred_by SET looked = ''infinity'' WHERE holder IN (%s); '
                                     'if it was a mistake, or they are gone, take them out of the file and run here: %s',
                                     string_agg(quote_ident(holder), ', '),
                                     string_agg(quote_literal(holder), ', '),
                                     string_agg(format('SELECT relpack.forget_referrer(%L);', holder), ' '))
                       FROM unnest(v_unread) AS unread (holder)
                       HAVING count(*) > 0));
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.require_unreferred() IS
    'Precondition of relpack.sweep(): raises RP002 while another database refers to objects of this one, or may '
    '(relpack.referred_by), and says which and how often.';
-- +goose StatementEnd

-- sql/reread_done.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.reread_done()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_pack_lock();
    UPDATE relpack.storage SET reread = false;
END;
$$;

COMMENT ON FUNCTION relpack.reread_done() IS
    'Notes that every state was read again, and what differs put into relpack.pending, as relpack.storage.reread asks.';
-- +goose StatementEnd

-- sql/reshape.sql
-- +goose StatementBegin
-- New parents for all objects, in place, from the references that are recorded:
-- what is dearer to climb or to cut than that is settled by it, and the tree is
-- as shallow as it can be afterwards. One step a call: the levels, then a range of
-- zoids each. Between the steps parents mean nothing, which the state "reshaping"
-- tells everybody. What is cut off by it is so as of this run; what was cut off
-- before keeps its detached_tid. A range is read in the order of the indexes: other
-- than in the rest of relpack.reach_step(), merging is cheapest.
CREATE OR REPLACE FUNCTION relpack.reshape()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_mergejoin = on
SET enable_nestloop = on
SET enable_material = on
SET enable_hashagg = off
SET enable_sort = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_range relpack.fill_range;
    v_reached record;
    v_sparse boolean;
    v_end bigint;
    v_zoids bigint[];
    v_inrefs bigint[];
BEGIN
    PERFORM relpack.require_pack_lock();
    IF NOT EXISTS (SELECT FROM relpack.storage WHERE graph = 'reshaping') THEN
        -- At its end this calls a graph current that may not have been compared.
        RAISE EXCEPTION 'no new parents are being chosen' USING ERRCODE = 'RP002', HINT = 'Call relpack.reach().';
    END IF;
    IF NOT EXISTS (SELECT FROM relpack.reached) THEN
        PERFORM relpack.build_mark();
        PERFORM relpack.list_ranges();
        RETURN;
    END IF;
    SELECT fill_range.* INTO v_range FROM relpack.fill_range ORDER BY first_zoid LIMIT 1;
    IF NOT FOUND THEN
        PERFORM relpack.scratch_clear('relpack.reached');
        UPDATE relpack.storage
        SET graph = CASE WHEN scan_disturbed THEN 'doubtful' ELSE 'current' END,
            scan_disturbed = false;
        RETURN;
    END IF;
    SELECT depths || ''::bytea AS depths, zoids || '{}'::bigint[] AS zoids, zoids IS NOT NULL AS sparse
    INTO STRICT v_reached
    FROM relpack.reached;
    v_sparse := v_reached.sparse;
    v_end := length(v_reached.depths);
    PERFORM set_config('enable_nestloop', 'off', true);
    SELECT array_agg(object.zoid), array_agg(above.inref)
    INTO v_zoids, v_inrefs
    FROM relpack.object
    LEFT JOIN (
        SELECT DISTINCT ON (edge.zoid) edge.zoid, edge.inref
        FROM relpack.object_inref AS edge
        WHERE edge.zoid BETWEEN v_range.first_zoid AND v_range.last_zoid
          AND relpack.build_level(edge.zoid, v_reached.depths, v_sparse, v_reached.zoids, v_end)
              = 1 + relpack.build_level(edge.inref, v_reached.depths, v_sparse, v_reached.zoids, v_end)
        ORDER BY edge.zoid, edge.inref
    ) AS above ON above.zoid = object.zoid
    WHERE object.zoid BETWEEN v_range.first_zoid AND v_range.last_zoid
      AND object.zoid <> 0
      AND object.parent IS DISTINCT FROM above.inref;
    PERFORM set_config('enable_nestloop', 'on', true), set_config('enable_mergejoin', 'off', true);
    UPDATE relpack.object
    SET parent = chosen.inref,
        detached_tid = CASE WHEN chosen.inref IS NULL THEN (SELECT detach_tid FROM relpack.storage) END
    FROM unnest(v_zoids, v_inrefs) AS chosen (zoid, inref)
    WHERE object.zoid = chosen.zoid;
    DELETE FROM relpack.fill_range WHERE first_zoid = v_range.first_zoid;
END;
$$;

COMMENT ON FUNCTION relpack.reshape() IS
    'Step of relpack.reach(), once relpack.begin_reshape() was called: the levels of all objects, then the parents of '
    'a range of them, or the end of it.';
-- +goose StatementEnd

-- sql/reshape_if_deep.sql
-- +goose StatementBegin
-- Changes make the tree deeper little by little. Whether a thousand random objects
-- have twice as many parents above them as on average after it was last shaped
-- is looked at once a day at most. The walk stops where it is known.
CREATE OR REPLACE FUNCTION relpack.reshape_if_deep()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET max_parallel_workers_per_gather = 0
AS $$
DECLARE
    v_storage relpack.storage;
    v_highest bigint;
    v_sampled bigint[];
    v_most bigint;
    v_above bigint;
BEGIN
    PERFORM relpack.require_pack_lock();
    v_storage := relpack.known_storage();
    IF v_storage.graph NOT IN ('current', 'doubtful') OR EXISTS (SELECT FROM relpack.suspect)
       OR v_storage.shaped_depth IS NULL OR v_storage.depth_looked_at > clock_timestamp() - interval '1 day' THEN
        RETURN false;
    END IF;
    UPDATE relpack.storage SET depth_looked_at = clock_timestamp();
    v_highest := (SELECT max(zoid) FROM relpack.object);
    SELECT coalesce(array_agg(sampled.zoid), '{}')
    INTO v_sampled
    FROM (SELECT (random() * v_highest)::bigint AS zoid FROM generate_series(1, 1000) OFFSET 0) AS random
    CROSS JOIN LATERAL (
        SELECT zoid, parent FROM relpack.object WHERE zoid >= random.zoid ORDER BY zoid LIMIT 1
    ) AS sampled
    WHERE sampled.parent IS NOT NULL;
    v_most := ceil(2 * v_storage.shaped_depth * cardinality(v_sampled));
    WITH RECURSIVE way (parent) AS (
        SELECT object.parent
        FROM unnest(v_sampled) AS sampled (zoid)
        JOIN relpack.object ON object.zoid = sampled.zoid
        WHERE object.zoid <> 0
        UNION ALL
        SELECT object.parent
        FROM way
        JOIN relpack.object ON object.zoid = way.parent
        WHERE way.parent <> 0
    )
    SELECT count(*) INTO v_above FROM (SELECT FROM way LIMIT v_most) AS bounded;
    IF v_most = 0 OR v_above < v_most THEN
        RETURN false;
    END IF;
    PERFORM relpack.begin_reshape('the tree has become twice as deep as it was');
    RETURN true;
END;
$$;

COMMENT ON FUNCTION relpack.reshape_if_deep() IS
    'Once a day at most, looks how deep the tree has become, and has relpack.reach() make it shallow again if that is '
    'twice as deep as it was; true if so.';
-- +goose StatementEnd

-- sql/run_begin.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.run_begin(days float8, version text)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_run bigint;
BEGIN
    PERFORM relpack.require_packer_alive(pg_backend_pid());
    INSERT INTO relpack.run (days, version)
    VALUES (run_begin.days, run_begin.version)
    RETURNING id INTO STRICT v_run;
    RETURN v_run;
END;
$$;

COMMENT ON FUNCTION relpack.run_begin(float8, text) IS
    'Enters a pack into relpack.run, for the session that holds the pack lock; returns its number.';
-- +goose StatementEnd

-- sql/run_end.sql
-- +goose StatementBegin
-- A row that a DBA has deleted stays so.
CREATE OR REPLACE FUNCTION relpack.run_end(
    run bigint, outcome text, message text, scanned bigint, unreachable bigint,
    deleted bigint, deleted_bytes bigint, blob_files bigint, blob_bytes bigint,
    large_objects bigint DEFAULT 0, large_object_bytes bigint DEFAULT 0, cut_off jsonb DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_packer_alive(pg_backend_pid());
    UPDATE relpack.run
    SET finished = clock_timestamp(),
        outcome = run_end.outcome,
        message = nullif(run_end.message, ''),
        scanned = run_end.scanned,
        unreachable = run_end.unreachable,
        deleted = run_end.deleted,
        deleted_bytes = run_end.deleted_bytes,
        blob_files = run_end.blob_files,
        blob_bytes = run_end.blob_bytes,
        large_objects = run_end.large_objects,
        large_object_bytes = run_end.large_object_bytes,
        cut_off = run_end.cut_off
    WHERE id = run_end.run;
END;
$$;

COMMENT ON FUNCTION relpack.run_end(bigint, text, text, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, jsonb) IS
    'Completes an entry in relpack.run, for the session that holds the pack lock.';
-- +goose StatementEnd

-- sql/salvage.sql
-- +goose StatementBegin
-- Of a record that could not be decoded every 8 bytes may be a reference, if they
-- name something. A row that vanished may come back: its node counts.
CREATE OR REPLACE FUNCTION relpack.salvage(windows bigint[])
RETURNS SETOF bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT stored.zoid
    FROM relpack.stored()
    WHERE stored.zoid = ANY (windows)
    UNION
    SELECT object.zoid
    FROM relpack.object
    WHERE object.zoid = ANY (windows);
END;
$$;

COMMENT ON FUNCTION relpack.salvage(bigint[]) IS
    'Which of these, 8 bytes each of a record that is complete and could not be decoded, may be references: those '
    'that name a stored object or a node. For a transaction that has called relpack.lock_storage().';
-- +goose StatementEnd

-- sql/scan_done.sql
-- +goose StatementBegin
-- Ends the transaction in which another session than the packer's has sent a
-- range: it is done with all its rows or not at all. The file that was read is
-- another one where VACUUM FULL, CLUSTER or pg_repack has moved rows into ranges
-- that were read before.
CREATE OR REPLACE FUNCTION relpack.scan_done(
    packer integer, first_block bigint, filenode bigint, objects bigint, inrefs bigint, foreign_refs bigint,
    undecoded bigint[], empty bigint[], empty_detail text)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF foreign_refs > 0 THEN
        -- Another worker's rows are not visible, and those that a lost session left
        -- behind are not ours. In this order no worker waits for the other where a
        -- row that moved is read by both.
        WITH moved AS (
            DELETE FROM relpack.examined_foreign
            WHERE xmin = pg_current_xact_id()::xid
            RETURNING inref, database, zoid
        )
        INSERT INTO relpack.foreign_reference (inref, database, zoid)
        SELECT DISTINCT inref, database, zoid
        FROM moved
        ORDER BY inref, database, zoid
        ON CONFLICT DO NOTHING;
    END IF;
    -- Looked at again when there is a graph to look things up in.
    INSERT INTO relpack.pending (zoid)
    SELECT read.zoid FROM unnest(undecoded) AS read (zoid) ORDER BY read.zoid
    ON CONFLICT DO NOTHING;
    INSERT INTO relpack.problem (zoid, blocks, kind, detail)
    SELECT read.zoid, false, 'empty', empty_detail FROM unnest(empty) AS read (zoid) ORDER BY read.zoid
    ON CONFLICT DO NOTHING;
    DELETE FROM relpack.scan_range AS range WHERE range.first_block = scan_done.first_block;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'another session has read the blocks of object_state from % on: is another pack running?', scan_done.first_block;
    END IF;
    -- Last of all: the other worker waits for this row.
    UPDATE relpack.storage
    SET objects = storage.objects + scan_done.objects,
        inrefs = storage.inrefs + scan_done.inrefs,
        scan_disturbed = scan_disturbed OR storage.filenode <> scan_done.filenode::oid;
    -- If the packer is lost, another pack may begin a build of its own, in which
    -- this range counted as read; but it has to wait for the locks that this
    -- transaction has by now.
    PERFORM relpack.require_packer_alive(packer);
END;
$$;

COMMENT ON FUNCTION relpack.scan_done(integer, bigint, bigint, bigint, bigint, bigint, bigint[], bigint[], text) IS
    'Ends a range of the scan of a first build. '
    'Its objects and references were sent before in this transaction: so many objects, references, and references to '
    'other databases (in relpack.examined_foreign), read from the file filenode of object_state. '
    'undecoded are to be read again, empty have no state. '
    'Raises RP004 when the session packer has lost the pack lock.';
-- +goose StatementEnd

-- sql/scan_resume.sql
-- +goose StatementBegin
-- What happened between two runs, the scan does not know: it is found by comparing
-- at the end.
CREATE OR REPLACE FUNCTION relpack.scan_resume()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_pack_lock();
    UPDATE relpack.storage SET scan_disturbed = true;
END;
$$;

COMMENT ON FUNCTION relpack.scan_resume() IS
    'Goes on with the scan of a first build that was interrupted: a comparison follows it.';
-- +goose StatementEnd

-- sql/scratch_clear.sql
-- +goose StatementBegin
-- DELETE where that is cheaper; else TRUNCATE if it is to be had at once, or,
-- where DELETE would take seconds, after autovacuum has given way: pg_dump holds
-- a weak lock on every table for as long as it runs.
CREATE OR REPLACE FUNCTION relpack.scratch_clear(scratch regclass)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_timeout text := current_setting('lock_timeout');
    v_bytes bigint := pg_relation_size(scratch);
BEGIN
    -- A file without a page has no row: most are so, from one TRUNCATE to the next.
    IF v_bytes = 0 THEN
        RETURN;
    END IF;
    IF v_bytes > 262144 THEN
        BEGIN
            PERFORM set_config('lock_timeout', CASE WHEN v_bytes > 67108864 THEN '3s' ELSE '10ms' END, true);
            EXECUTE format('TRUNCATE %s', scratch);
            PERFORM set_config('lock_timeout', v_timeout, true);
            RETURN;
        EXCEPTION
            WHEN lock_not_available THEN
                NULL;
        END;
    END IF;
    -- Autovacuum locks out everybody for a moment when it gives pages back to
    -- the file system: that is waited for.
    EXECUTE format('DELETE FROM %s', scratch);
END;
$$;

COMMENT ON FUNCTION relpack.scratch_clear(regclass) IS
    'Empties one of relpack''s scratch tables without waiting for who reads it (pg_dump does).';
-- +goose StatementEnd

-- sql/set_aside_blobs.sql
-- +goose StatementBegin
-- RelStorage's trigger unlinks the large objects of a chunk that is deleted, and
-- fails where one is gone (a restore without large objects, vacuumlo): such a
-- blob would stop each deletion, for all.
CREATE OR REPLACE FUNCTION relpack.set_aside_blobs()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
SET enable_hashjoin = on
SET enable_mergejoin = on
SET enable_seqscan = on
AS $$
DECLARE
    v_some boolean := false;
BEGIN
    -- In two statements: without the table the second can't be planned.
    IF to_regclass('public.blob_chunk') IS NOT NULL THEN
        SELECT EXISTS (SELECT FROM public.blob_chunk) INTO v_some;
    END IF;
    IF NOT v_some THEN
        RETURN;
    END IF;
    INSERT INTO relpack.set_aside (zoid, reason, remedy)
    SELECT broken.zoid,
           format('large object %s of its row in blob_chunk does not exist', broken.chunk),
           format('As the owner of blob_chunk: SELECT lo_create(%s); and the next pack deletes the blob', broken.chunk)
    FROM (
        SELECT blob_chunk.zoid, min(blob_chunk.chunk) AS chunk
        FROM relpack.doomed
        JOIN public.blob_chunk ON blob_chunk.zoid = doomed.zoid
        LEFT JOIN pg_largeobject_metadata AS known ON known.oid = blob_chunk.chunk
        WHERE known.oid IS NULL
        GROUP BY blob_chunk.zoid
    ) AS broken;
    IF FOUND THEN
        PERFORM relpack.spare_set_aside();
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.set_aside_blobs() IS
    'Step of relpack.doom(): sets aside blobs of which a large object is gone, so that the rest can be deleted.';
-- +goose StatementEnd

-- sql/set_aside_held.sql
-- +goose StatementBegin
-- Rows of another table refer to some of these objects, by a key that lets none
-- of them go. Which they are tells a trial that is always rolled back, halved
-- until one is left: to look into that table takes a right that we may not have.
-- Rows are locked while a trial lasts: not too many at a time.
CREATE OR REPLACE FUNCTION relpack.set_aside_held(tried bigint[])
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_size integer := cardinality(tried);
    v_half integer := (v_size + 1) / 2;
    v_schema text;
    v_table text;
    v_key text;
BEGIN
    IF v_size <= 256 THEN
        BEGIN
            PERFORM set_config('relpack.sweeping', pg_current_xact_id()::text, true);
            SET CONSTRAINTS ALL IMMEDIATE;
            PERFORM relpack.sweep_delete(tried);
            RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'not held';
        EXCEPTION
            WHEN SQLSTATE 'RP003' OR lock_not_available OR deadlock_detected THEN
                v_key := NULL;
            WHEN foreign_key_violation OR restrict_violation THEN
                GET STACKED DIAGNOSTICS v_schema = SCHEMA_NAME, v_table = TABLE_NAME, v_key = CONSTRAINT_NAME;
        END;
        IF v_key IS NULL THEN
            RETURN 0;
        ELSIF v_size = 1 THEN
            INSERT INTO relpack.set_aside (zoid, reason, remedy)
            VALUES (tried[1],
                    format('rows of %I.%I refer to it (foreign key %I)', v_schema, v_table, v_key),
                    'Delete those rows, and the next pack deletes the object')
            ON CONFLICT DO NOTHING;
            RETURN 1;
        END IF;
    END IF;
    RETURN relpack.set_aside_held(tried[1:v_half]) + relpack.set_aside_held(tried[v_half + 1:v_size]);
END;
$$;

COMMENT ON FUNCTION relpack.set_aside_held(bigint[]) IS
    'Step of relpack.sweep(): sets aside those of these objects whose row can''t be deleted because rows of another '
    'table refer to it; returns how many they are.';
-- +goose StatementEnd

-- sql/spare_referred.sql
-- +goose StatementBegin
-- The settings are those of relpack.reach_step(), for its reasons.
CREATE OR REPLACE FUNCTION relpack.spare_referred()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_material = off
SET max_parallel_workers_per_gather = 0
AS $$
BEGIN
    LOOP
        EXIT WHEN NOT EXISTS (SELECT FROM relpack.spared WHERE stage = 'new');
        PERFORM relpack.doom_spare();
    END LOOP;
    IF EXISTS (SELECT FROM relpack.problem JOIN relpack.spared USING (zoid) WHERE problem.blocks) THEN
        RAISE EXCEPTION 'an unreachable object that must stay can''t be decoded: what it refers to is unknown'
            USING ERRCODE = 'RP002',
                  DETAIL = (SELECT string_agg(format('zoid %s: %s', zoid, detail), '; ' ORDER BY zoid)
                            FROM (SELECT zoid, detail
                                  FROM relpack.problem JOIN relpack.spared USING (zoid)
                                  WHERE problem.blocks ORDER BY zoid LIMIT 10) AS few),
                  HINT = 'Once it is beyond the grace (--days), it is deleted together with the rest.';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.spare_referred() IS
    'Step of relpack.doom(): spares what unreachable objects in relpack.spared refer to. '
    'Raises RP002 where one of them can''t be decoded.';
-- +goose StatementEnd

-- sql/spare_set_aside.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.spare_set_aside()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_spared bigint;
BEGIN
    INSERT INTO relpack.spared (zoid, stage)
    SELECT set_aside.zoid, 'new'
    FROM relpack.set_aside
    ON CONFLICT DO NOTHING;
    PERFORM relpack.spare_referred();
    DELETE FROM relpack.doomed
    USING relpack.spared
    WHERE spared.zoid = doomed.zoid;
    GET DIAGNOSTICS v_spared = ROW_COUNT;
    UPDATE relpack.storage SET doomed_left = doomed_left - v_spared;
END;
$$;

COMMENT ON FUNCTION relpack.spare_set_aside() IS
    'Step of relpack.doom(): takes what is set aside, and all that it refers to, out of relpack.doomed.';
-- +goose StatementEnd

-- sql/spare_young.sql
-- +goose StatementBegin
-- What stays goes into relpack.spared: garbage within the grace or written after
-- the capture, and all that it refers to. Objects of a deletion that has begun are not asked for their age.
-- In a history-preserving storage what has a revision later than the horizon stays, and
-- so does what was set back (relpack.trim_leaves()), whoever set it back: nobody reports
-- that.
CREATE OR REPLACE FUNCTION relpack.spare_young(pack_tid bigint)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_applied bigint := (
        SELECT CASE WHEN keeps_history THEN least(applied_tid, horizon_tid) ELSE applied_tid END FROM relpack.storage);
    v_newest bigint;
    v_last bigint;
BEGIN
    -- Where only garbage bears the highest tid, one row of it stays: clients
    -- and our own watermark rely on max(tid) never falling.
    SELECT max(tid) INTO v_newest FROM relpack.stored();
    IF NOT relpack.keeps_history() AND NOT EXISTS (
        SELECT
        FROM relpack.stored()
        LEFT JOIN relpack.object ON object.zoid = stored.zoid
        WHERE stored.tid = v_newest AND (object.zoid IS NULL OR object.parent IS NOT NULL)) THEN
        SELECT min(zoid) INTO v_last FROM relpack.stored() WHERE tid = v_newest;
    END IF;

    INSERT INTO relpack.spared (zoid, stage)
    SELECT detached.zoid, 'new'
    FROM relpack.detached
    WHERE detached.zoid = v_last
       OR ((detached.since > pack_tid OR detached.tid > v_applied)
           AND NOT EXISTS (SELECT FROM relpack.doomed WHERE doomed.zoid = detached.zoid));
    IF FOUND THEN
        PERFORM relpack.doom_analyze();
    END IF;
    IF relpack.keeps_history() THEN
        INSERT INTO relpack.spared (zoid, stage)
        SELECT detached.zoid, 'new'
        FROM relpack.detached
        WHERE NOT EXISTS (
            SELECT FROM public.current_object WHERE current_object.zoid = detached.zoid AND (current_object.tid = detached.tid) IS TRUE)
        ON CONFLICT DO NOTHING;
    END IF;
    PERFORM relpack.spare_referred();
END;
$$;

COMMENT ON FUNCTION relpack.spare_young(bigint) IS
    'Step of relpack.doom(): fills relpack.spared with the unreachable objects that are younger than this tid or were '
    'written after the capture, and what they refer to. Raises RP002 where one of them can''t be decoded.';
-- +goose StatementEnd

-- sql/status.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.status(
    OUT graph text, OUT doubt text, OUT applied_tid bigint, OUT applied_until timestamptz,
    OUT objects bigint, OUT inrefs bigint,
    OUT unreachable bigint, OUT unreachable_bytes bigint,
    OUT within_grace bigint, OUT within_grace_bytes bigint,
    OUT doomed bigint, OUT blob_removals bigint, OUT blobs_missed bigint, OUT problems bigint, OUT blocking_problems bigint,
    OUT missing bigint, OUT dangling bigint,
    OUT bytes bigint, OUT last_pack timestamptz, OUT verified_since timestamptz)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    v_day_ago bigint := (
        SELECT CASE WHEN unreferred > now() - interval '24 hours' THEN -1 ELSE relpack.time_to_tid(now() - interval '24 hours') END
        FROM relpack.storage);
BEGIN
    SELECT storage.graph,
           CASE WHEN storage.graph IN ('current', 'doubtful') THEN relpack.doubt() END,
           nullif(storage.applied_tid, 0),
           relpack.tid_to_time(nullif(storage.applied_tid, 0)),
           storage.objects - (SELECT count(*) FROM relpack.missing), storage.inrefs
    INTO graph, doubt, applied_tid, applied_until, objects, inrefs
    FROM relpack.storage;
    -- While a graph is built, nodes without a parent mean nothing.
    IF graph IN ('current', 'doubtful') THEN
        SELECT count(*), coalesce(sum(detached.size), 0),
               count(*) FILTER (WHERE detached.since > v_day_ago),
               coalesce(sum(detached.size) FILTER (WHERE detached.since > v_day_ago), 0)
        INTO unreachable, unreachable_bytes, within_grace, within_grace_bytes
        FROM relpack.detached;
    END IF;
    doomed := (SELECT count(*) FROM relpack.doomed);
    SELECT count(*) FILTER (WHERE blob_removal.missed IS NULL), count(blob_removal.missed)
    INTO blob_removals, blobs_missed
    FROM relpack.blob_removal;
    SELECT count(*) FILTER (WHERE problem.kind <> 'empty'
                              OR (object.parent IS NOT NULL AND NOT (SELECT keeps_history FROM relpack.storage))),
           count(*) FILTER (WHERE problem.blocks AND object.parent IS NOT NULL)
    INTO problems, blocking_problems
    FROM relpack.problem
    LEFT JOIN relpack.object ON object.zoid = problem.zoid;
    missing := (
        SELECT count(*)
        FROM relpack.missing_object AS lost
        WHERE NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = lost.zoid));
    dangling := (
        SELECT count(*)
        FROM relpack.dangling_reference AS lost
        WHERE NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = lost.zoid));
    -- From the catalog: pg_relation_size() would wait for a table that is being
    -- truncated or indexed.
    bytes := (SELECT sum(pg_class.relpages::bigint) * current_setting('block_size')::bigint
              FROM pg_class
              WHERE pg_class.relnamespace = 'relpack'::regnamespace AND pg_class.relkind IN ('r', 'i'));
    IF graph = 'current' THEN
        verified_since := nullif((SELECT min(audited.since) FROM relpack.audited), '-infinity');
    END IF;
    last_pack := (SELECT max(run.finished) FROM relpack.run WHERE run.outcome = 'packed');
END;
$$;

COMMENT ON FUNCTION relpack.status() IS
    'One row: how far the graph describes the storage, and what it found. '
    'doubt: why it may not match the storage. objects, inrefs: of the graph. '
    'unreachable, with bytes of their states; within_grace: those of them that the default grace of one day protects. '
    'doomed: chosen for deletion. blob_removals: blobs whose files wait to be removed; '
    'blobs_missed: others whose files were not in the blob directory. '
    'problems: undecodable objects, of which blocking_problems keep relpack from deleting. '
    'missing, dangling: what live objects refer to and is not stored, rows that vanished and others. '
    'bytes: what relpack''s own tables take. last_pack: when one last ended well. '
    'verified_since: every object has been read again since, and compared with the graph; NULL: never.';
-- +goose StatementEnd

-- sql/stored.sql
-- +goose StatementBegin
-- What is stored of each object: the one place in sql/ that reads object_state, but for
-- the steps of a trim, and a sweep that looks whether what it deleted is gone.
-- A query of a single SELECT is put in the place of the call before anything is
-- planned, with the rights of who asks, so that plans, row security and privileges
-- are those of the table: no SET clause, or it is not; each name says where it is.
-- Whether workers may help is asked before that: PARALLEL SAFE, as the table is.
-- No view: that would keep DROP TABLE, ALTER COLUMN TYPE and a pg_restore --clean
-- of RelStorage's tables alone from working, and go on reading a table that was
-- renamed while another one took its place.
CREATE OR REPLACE FUNCTION relpack.stored()
RETURNS TABLE (zoid bigint, tid bigint, state bytea)
LANGUAGE sql
STABLE PARALLEL SAFE
AS $$
    SELECT object_state.zoid, object_state.tid, object_state.state FROM public.object_state
$$;

COMMENT ON FUNCTION relpack.stored() IS
    'The objects that are stored, with transaction id and state, as public.object_state has them, in a history-preserving '
    'storage a row for each revision; as fast as the table itself. For every role that may SELECT there.';
-- +goose StatementEnd

-- sql/survey.sql
-- +goose StatementBegin
-- By the index on what is detached, as in relpack.doom(), whatever the statistics
-- say: they may be older than the last deletion.
CREATE OR REPLACE FUNCTION relpack.survey(
    OUT objects bigint, OUT inrefs bigint, OUT unreachable bigint, OUT unreachable_bytes bigint, OUT ahead text)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
BEGIN
    SELECT storage.objects - (SELECT count(*) FROM relpack.missing), storage.inrefs
    INTO objects, inrefs
    FROM relpack.storage;
    SELECT count(*), coalesce(sum(detached.size), 0)
    INTO unreachable, unreachable_bytes
    FROM relpack.detached;
    ahead := relpack.tids_ahead();
END;
$$;

COMMENT ON FUNCTION relpack.survey() IS
    'Step of "relpack pack": how many objects and references there are, how many of the objects are unreachable and '
    'their bytes, and whether tids are ahead of the clock (relpack.tids_ahead).';
-- +goose StatementEnd

-- sql/sweep.sql
-- +goose StatementBegin
-- Deletes one batch of garbage, or leaves everything as it was. The rows are
-- deleted first, while the site goes on: nobody needs them. Only then, for a
-- check and the commit, the writers' lock: had anybody stored a reference to
-- something unreachable since the graph was settled, the batch is rolled back.
-- Where the site is so busy that the lock is not to be had, one more try is made
-- the other way round, for as few objects as the site can wait for.
CREATE OR REPLACE FUNCTION relpack.sweep(
    batch integer DEFAULT 10000,
    pack_time timestamptz DEFAULT now() - interval '24 hours',
    decoder boolean DEFAULT false,
    OUT outcome text, OUT objects bigint, OUT bytes bigint, OUT blobs bigint, OUT remaining bigint)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
DECLARE
    v_batch bigint[];
    v_limit integer := batch;
    v_saturated boolean := false;
    v_start timestamptz;
BEGIN
    -- Whatever wrote before in this transaction would hold the lock on.
    IF EXISTS (SELECT FROM relpack.writer WHERE pid = pg_backend_pid()) THEN
        RAISE EXCEPTION 'this transaction has written to object_state already'
            USING ERRCODE = 'RP002', HINT = 'Call relpack.sweep() outside BEGIN ... COMMIT, once a statement.';
    END IF;
    IF (batch BETWEEN 1 AND 1000000) IS NOT TRUE THEN
        RAISE EXCEPTION 'a batch has 1 to 1000000 objects, not %', batch USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM relpack.require_pack_lock();
    PERFORM relpack.require_settled();
    PERFORM relpack.require_unreferred();
    IF relpack.doom_outdated(pack_time) THEN
        PERFORM relpack.doom(pack_time);
    END IF;
    LOOP
        v_batch := relpack.sweep_choose(v_limit);
        IF v_batch IS NULL THEN
            -- The last ones may have been set aside.
            UPDATE relpack.storage SET begun_until = 0 WHERE storage.begun_until > 0;
            outcome := 'done';
            remaining := 0;
            EXIT;
        END IF;
        v_start := clock_timestamp();
        SELECT tried.outcome, tried.objects, tried.bytes, tried.blobs, tried.remaining
        INTO outcome, objects, bytes, blobs, remaining
        FROM relpack.sweep_try(v_batch, v_saturated, decoder) AS tried;
        CASE outcome
        WHEN 'held' THEN
            IF relpack.set_aside_held(v_batch) = 0 THEN
                outcome := 'busy';
            ELSE
                PERFORM relpack.spare_set_aside(), relpack.scratch_clear('relpack.spared');
            END IF;
        WHEN 'saturated' THEN
            -- As many as are deleted in 30 ms.
            v_limit := least(v_limit, greatest(
                1,
                cardinality(v_batch) * 30 / greatest(extract(epoch FROM clock_timestamp() - v_start) * 1000 - 50, 1)));
            v_saturated := true;
        ELSE
            NULL;
        END CASE;
        EXIT WHEN outcome NOT IN ('held', 'saturated');
    END LOOP;
    IF outcome NOT IN ('swept', 'undecoded') THEN
        objects := 0;
        bytes := 0;
        blobs := 0;
        RETURN;
    END IF;
    PERFORM relpack.sweep_hurry();
END;
$$;

COMMENT ON FUNCTION relpack.sweep(integer, timestamptz, boolean) IS
    'Deletes up to batch unreachable objects, and cleans the graph. '
    'They were last changed and cut off before pack_time; NULL: all unreachable ones. '
    'outcome: swept; done: there is nothing to delete; busy: a writer was in the way, try again; stale: something was '
    'written since the last capture, run "relpack pack"; unmarked: a transaction can be undone that wrote one, see '
    'relpack.trim_mark(). Unless swept, everything is as it was. '
    'bytes of states; remaining: chosen, not yet deleted. '
    'Call it outside BEGIN ... COMMIT: in an open transaction it holds up the site, for 2 seconds at most. '
    'decoder is for relpack itself, which decodes what was written in the meantime: undecoded can''t be committed '
    'until relpack.sweep_decoded() has found that none of it refers to what is unreachable or gone.';
-- +goose StatementEnd

-- sql/sweep_batch.sql
-- +goose StatementBegin
-- Deletes a chosen batch, or raises RP003 with the outcome: the caller rolls back.
-- What takes long, and locks nothing of the site's, comes first. Then rows, in
-- pieces: as long as one is deleted, whoever writes one of them waits for us, and
-- the site for him if he commits. Pieces grow until they take what a commit may be
-- kept waiting; blobs, whose large objects have no size that can be had, begin with
-- one.
-- Locks are taken in one order: object_state, RelStorage's commit lock, the
-- writers' lock, current_object, rows. A commit before RelStorage 3.0 locks all of
-- current_object.
CREATE OR REPLACE FUNCTION relpack.sweep_batch(
    chosen bigint[], saturated boolean, decoder boolean,
    OUT outcome text, OUT objects bigint, OUT bytes bigint, OUT blobs bigint)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
SET enable_seqscan = off
SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_last bigint := relpack.newest_tid();
    v_zoids bigint[];
    v_weights bigint[];
    v_plain integer;
    v_room bigint := 20;  -- weight of the next piece
    v_from integer := 1;
    v_to integer;
    v_before bigint := 0;
    v_start timestamptz;
    v_piece bigint[];
    v_deleted record;
    v_inrefs bigint;
BEGIN
    -- On the disk, but not on that of a standby: see relpack.commit_locally().
    PERFORM set_config('synchronous_commit', 'local', true);
    LOCK TABLE public.object_state IN ROW EXCLUSIVE MODE;
    -- Keys stay as they are found from here on.
    PERFORM relpack.require_cleared();
    IF saturated AND NOT relpack.line_up() THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'busy';
    END IF;
    -- Rather before anything is done in vain; without the lock it proves nothing.
    IF relpack.sweep_recheck(v_last, decoder) = 'stale' THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'stale';
    END IF;
    -- What another table's key holds back is to be found here, not by the COMMIT.
    SET CONSTRAINTS ALL IMMEDIATE;
    SET CONSTRAINTS relpack.what_was_written_must_be_decoded DEFERRED;
    SELECT ordered.zoids, ordered.weights, ordered.plain
    INTO v_zoids, v_weights, v_plain
    FROM relpack.sweep_order(chosen) AS ordered;
    DELETE FROM relpack.object_inref WHERE inref = ANY (chosen);
    GET DIAGNOSTICS v_inrefs = ROW_COUNT;
    -- Of a component too large for a batch something may refer to what is
    -- gone, and be referred to again before it goes as well.
    INSERT INTO relpack.dangling (zoid)
    SELECT DISTINCT zoid FROM relpack.object_inref WHERE zoid = ANY (chosen)
    ON CONFLICT DO NOTHING;

    objects := 0;
    bytes := 0;
    blobs := 0;
    IF relpack.keeps_history() THEN
        LOCK TABLE public.current_object IN ROW EXCLUSIVE MODE;
    END IF;
    WHILE v_from <= cardinality(v_zoids) LOOP
        v_to := greatest(v_from, width_bucket(v_before + v_room, v_weights));
        IF v_from <= v_plain THEN
            v_to := least(v_to, v_plain);
        ELSIF v_from = v_plain + 1 THEN
            v_to := v_from;
        END IF;
        v_piece := v_zoids[v_from:v_to];
        v_start := clock_timestamp();
        v_deleted := relpack.sweep_piece(v_piece);
        objects := objects + v_deleted.objects;
        bytes := bytes + v_deleted.bytes;
        blobs := blobs + v_deleted.blobs;
        -- Who is held up by the commit lock waits for the end in any case.
        IF NOT saturated AND relpack.anyone_waits() THEN
            RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'busy';
        END IF;
        v_room := greatest(
            1,
            (v_weights[v_to] - v_before)
            * least(4, 30 / greatest(extract(epoch FROM clock_timestamp() - v_start) * 1000, 1)));
        v_before := v_weights[v_to];
        v_from := v_to + 1;
    END LOOP;
    IF v_from <= cardinality(chosen) THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'stale';
    END IF;
    UPDATE relpack.storage
    SET objects = storage.objects - cardinality(chosen),
        inrefs = storage.inrefs - v_inrefs;

    IF NOT saturated AND NOT relpack.try_writers_lock('50 ms', rows_locked => true) THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003',
                              MESSAGE = CASE WHEN relpack.anyone_waits() THEN 'busy' ELSE 'saturated' END;
    END IF;
    outcome := relpack.sweep_recheck(v_last, decoder);
    IF outcome = 'stale' THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'stale';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.sweep_batch(bigint[], boolean, boolean) IS
    'Step of relpack.sweep(): deletes the chosen objects with their nodes and references. '
    'Then it takes the writers'' lock, and looks whether anything is new: outcome "nothing new" or undecoded. '
    'All else is raised, as RP003: busy, stale, or saturated where the writers'' lock was not to be had in time: then '
    'call it with saturated, for what is deleted in some 30 ms, and it waits for RelStorage''s commit lock before it '
    'deletes.';
-- +goose StatementEnd

-- sql/sweep_choose.sql
-- +goose StatementBegin
-- Referrers no later than what they refer to: the batch is closed under doomed
-- referrers where that fits, so that nothing that remains refers to what is
-- gone. A component larger than the batch is begun, and finished by the next:
-- no order would keep a circle whole, and those of a site, whose objects refer
-- to what they are in, are as large as what was deleted. So a few objects at a
-- time are added with all that refers to them, as long as that fits: what does
-- not was walked for nothing, and that is little where the batch is nearly full.
-- Little work_mem, and subqueries, for the reasons that relpack.reach_flow_deep() has.
CREATE OR REPLACE FUNCTION relpack.sweep_choose(batch integer)
RETURNS bigint[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_material = off
SET enable_memoize = off
SET max_parallel_workers_per_gather = 0
SET work_mem = '64kB'
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_batch bigint[] := ARRAY[]::bigint[];
    v_last bigint := -9223372036854775808;
    v_step bigint := greatest(batch / 32, 1);  -- so many are tried at a time
    v_first bigint[];
    v_more bigint[];
    v_fits bigint;
    -- A large object unlinked takes a lock until the transaction ends.
    v_locks bigint := current_setting('max_locks_per_transaction')::bigint
                      * current_setting('max_connections')::bigint / 4;
BEGIN
    LOOP
        v_first := ARRAY(
            SELECT zoid
            FROM relpack.doomed
            WHERE zoid > v_last AND zoid NOT IN (SELECT unnest(v_batch))
            ORDER BY zoid
            LIMIT least(v_step, batch - cardinality(v_batch))
        );
        EXIT WHEN cardinality(v_first) = 0;
        v_more := v_batch || v_first;
        -- Most referrers are there already: those are not walked from.
        v_more := v_more || ARRAY(
            WITH RECURSIVE closed (zoid) AS (
                SELECT object_inref.inref
                FROM relpack.object_inref
                CROSS JOIN LATERAL (
                    SELECT FROM relpack.doomed WHERE zoid = object_inref.inref OFFSET 0
                ) AS chosen
                WHERE object_inref.zoid = ANY (v_first) AND object_inref.inref NOT IN (SELECT unnest(v_more))
                UNION
                SELECT referrer.zoid
                FROM closed
                CROSS JOIN LATERAL (
                    SELECT inref AS zoid FROM relpack.object_inref WHERE zoid = closed.zoid OFFSET 0
                ) AS referrer
                CROSS JOIN LATERAL (
                    SELECT FROM relpack.doomed WHERE zoid = referrer.zoid OFFSET 0
                ) AS chosen
                WHERE referrer.zoid NOT IN (SELECT unnest(v_more))
            )
            SELECT zoid FROM closed LIMIT batch + 1 - cardinality(v_more)
        );
        v_fits := relpack.sweep_fit(v_more, batch, v_locks);
        IF v_fits = cardinality(v_more) THEN
            v_batch := v_more;
            v_last := v_first[cardinality(v_first)];
            v_step := v_step * 2;
        ELSIF v_step = 1 AND v_batch = '{}' THEN
            -- Of what is too large by itself the first part.
            v_batch := v_more[1:v_fits];
            EXIT;
        ELSE
            EXIT WHEN v_step = 1 OR cardinality(v_batch) >= batch / 2;
            v_step := greatest(v_step / 4, 1);
        END IF;
    END LOOP;
    RETURN nullif(v_batch, '{}');
END;
$$;

COMMENT ON FUNCTION relpack.sweep_choose(integer) IS
    'The next objects of relpack.doomed to delete together: with all doomed objects that refer to them where that '
    'fits the batch, and with no more large objects than a quarter of the lock table.';
-- +goose StatementEnd

-- sql/sweep_decoded.sql
-- +goose StatementBegin
-- The rule of a sweep that decodes: all that it refers to, what was written in the
-- meantime, is reachable, or new. What is deleted by this transaction is neither. Any object
-- that is unreachable counts, not only those of the batch: what is attached
-- again may reach into it.
CREATE OR REPLACE FUNCTION relpack.sweep_decoded(refs bigint[], undecodable bigint)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM relpack.undecoded) THEN
        RAISE EXCEPTION 'no sweep of this transaction waits for decoded references' USING ERRCODE = 'RP002';
    END IF;
    IF (undecodable = 0) IS NOT TRUE OR EXISTS (
        SELECT
        FROM unnest(refs) AS ref (zoid)
        LEFT JOIN LATERAL (
            SELECT known.zoid, known.parent FROM relpack.object AS known WHERE known.zoid = ref.zoid OFFSET 0
        ) AS object ON true
        WHERE object.parent IS NULL
          AND (object.zoid IS NOT NULL
               OR NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = ref.zoid))) THEN
        RETURN false;
    END IF;
    DELETE FROM relpack.undecoded;
    RETURN true;
END;
$$;

COMMENT ON FUNCTION relpack.sweep_decoded(bigint[], bigint) IS
    'Second half of relpack.sweep() with decoder: told what the states of relpack.fresh_state() refer to, and how '
    'many of them can''t be decoded, lets the transaction commit (true), or finds that it must be rolled back (false).';
-- +goose StatementEnd

-- sql/sweep_delete.sql
-- +goose StatementBegin
-- Nothing else of relpack's deletes rows of object_state but relpack.trim_delete(), which
-- does it for this one where history is kept. Each function that deletes garbage comes
-- here, for some of its objects at a time. A row is as
-- good as not waited for: whoever holds one may wait for us. RelStorage's trigger
-- that unlinks large objects names blob_chunk without its schema, and triggers of
-- others what the database's path has. Plans go by the index, however many the
-- objects: they need not be made each time, which takes as long as to delete
-- a thousand objects. What triggers, policies and rules of others make of a DELETE
-- is not asked beforehand: afterwards no row may be left, here or in blob_chunk,
-- or nothing is deleted at all. To look for each of them again is left out where the
-- DELETE returned all of them and no trigger of others could store one again: writers have
-- to wait for our rows, where history is kept for those of current_object, and who creates a
-- trigger for our lock on the table.
CREATE OR REPLACE FUNCTION relpack.sweep_delete(chosen bigint[], OUT zoids bigint[], OUT tids bigint[])
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '1ms'
SET enable_seqscan = off
SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_gone boolean;
BEGIN
    IF relpack.keeps_history() THEN
        SELECT gone.zoids, gone.tids INTO zoids, tids FROM relpack.sweep_history(chosen) AS gone;
    ELSE
        SET LOCAL search_path TO DEFAULT;
        PERFORM set_config(
            'search_path',
            concat_ws(', ', 'pg_catalog', nullif(current_setting('search_path'), ''), 'public', 'pg_temp'),
            true);
        WITH deleted AS (
            DELETE FROM public.object_state WHERE object_state.zoid = ANY (chosen) RETURNING object_state.zoid, object_state.tid
        )
        SELECT array_agg(deleted.zoid), array_agg(deleted.tid) INTO zoids, tids FROM deleted;
        PERFORM set_config('search_path', 'pg_catalog, pg_temp', true);
    END IF;
    v_gone := cardinality(zoids) = cardinality(chosen) AND NOT EXISTS (
        SELECT
        FROM pg_trigger
        JOIN pg_proc ON pg_proc.oid = tgfoid
        WHERE tgrelid IN ('public.object_state'::regclass, to_regclass('public.current_object'), to_regclass('public.blob_chunk'))
          AND NOT tgisinternal AND pronamespace <> 'relpack'::regnamespace
          AND (tgrelid IS DISTINCT FROM to_regclass('public.blob_chunk') OR tgname NOT LIKE 'blob\_chunk\_delete%'));
    IF v_gone IS NOT TRUE THEN
        PERFORM relpack.require_deleted('public.object_state', ARRAY(
            SELECT stored.zoid FROM public.object_state AS stored WHERE stored.zoid = ANY (chosen)));
    END IF;
    -- Most storages have the table, and keep their blobs in files: see relpack.sweep_fit().
    IF to_regclass('public.blob_chunk') IS NOT NULL THEN
        IF EXISTS (SELECT FROM public.blob_chunk) THEN
            PERFORM relpack.require_deleted('public.blob_chunk', ARRAY(
                SELECT chunk.zoid FROM public.blob_chunk AS chunk WHERE chunk.zoid = ANY (chosen)));
        END IF;
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.sweep_delete(bigint[]) IS
    'Step of relpack.sweep(): deletes these rows of object_state, and of blob_chunk with them; '
    'returns those that were there. Raises RP002 when a trigger of somebody else kept one, RP003 (stale) when one is '
    'there again, lock_not_available when one is locked: the caller rolls back.';
-- +goose StatementEnd

-- sql/sweep_fit.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.sweep_fit(objects bigint[], batch integer, locks bigint)
RETURNS bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_fits bigint := least(cardinality(objects), batch);
BEGIN
    -- In two statements: without the table the second can't be planned.
    IF to_regclass('public.blob_chunk') IS NULL THEN
        RETURN v_fits;
    END IF;
    -- Most storages have it, and keep their blobs in files.
    IF NOT EXISTS (SELECT FROM public.blob_chunk) THEN
        RETURN v_fits;
    END IF;
    IF (SELECT count(*) FROM public.blob_chunk WHERE zoid = ANY (objects)) > locks THEN
        SELECT greatest(count(*) FILTER (WHERE counted.chunks <= locks), 1)
        INTO v_fits
        FROM (
            SELECT sum((SELECT count(*) FROM public.blob_chunk WHERE blob_chunk.zoid = chosen.zoid))
                       OVER (ORDER BY chosen.place) AS chunks
            FROM unnest(objects[1:v_fits]) WITH ORDINALITY AS chosen (zoid, place)
        ) AS counted;
    END IF;
    RETURN v_fits;
END;
$$;

COMMENT ON FUNCTION relpack.sweep_fit(bigint[], integer, bigint) IS
    'Step of relpack.sweep_choose(): how many of these objects, from the first, are no more than a batch and no more '
    'large objects than there are locks; at least one.';
-- +goose StatementEnd

-- sql/sweep_history.sql
-- +goose StatementBegin
-- What the graph calls garbage in a history-preserving storage has one revision, which
-- is its current one, is the one that the graph knows, and nobody can undo: else nothing
-- goes. current_object first: its key points at the revision. For
-- relpack.sweep_delete() alone. What is no plain comparison goes by no index: by that on
-- tid all objects of a transaction would be read for each of them.
CREATE OR REPLACE FUNCTION relpack.sweep_history(chosen bigint[], OUT zoids bigint[], OUT tids bigint[])
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '1ms'
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_horizon bigint := (SELECT horizon_tid FROM relpack.storage);
    v_rows bigint;
BEGIN
    IF current_setting('relpack.sweeping', true) IS DISTINCT FROM pg_current_xact_id()::text
       OR EXISTS (SELECT FROM relpack.storage WHERE cleared_tid < horizon_tid) THEN
        RAISE EXCEPTION 'relpack.sweep_history() is a step of relpack.sweep()' USING ERRCODE = 'RP002', HINT = 'Call relpack.sweep().';
    END IF;
    -- Each row of each of them: of two rows of one object, one is not known.
    SELECT array_agg(stored.zoid), array_agg(stored.tid),
           count(*) FILTER (WHERE EXISTS (
               SELECT
               FROM relpack.object
               JOIN relpack.doomed ON doomed.zoid = object.zoid
               JOIN public.current_object ON current_object.zoid = object.zoid AND (current_object.tid = object.tid) IS TRUE
               WHERE object.zoid = stored.zoid AND object.tid = stored.tid AND object.parent IS NULL
                 AND object.tid <= v_horizon
               OFFSET 0)) -- else all of relpack.doomed may be hashed each time
    INTO zoids, tids, v_rows
    FROM relpack.stored()
    WHERE stored.zoid = ANY (chosen);
    IF v_rows <> cardinality(chosen) OR v_rows <> coalesce(cardinality(zoids), 0) THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'stale';
    END IF;
    IF relpack.trim_unmarked(tids) THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'unmarked';
    END IF;
    DELETE FROM public.current_object
    USING unnest(zoids, tids) AS gone (zoid, tid)
    WHERE current_object.zoid = gone.zoid AND (current_object.tid = gone.tid) IS TRUE;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    -- A BEFORE trigger of others keeps a row, one that comes after stores it again.
    IF (v_rows <> cardinality(chosen)
        OR EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'public.current_object'::regclass AND NOT tgisinternal))
       AND EXISTS (SELECT FROM public.current_object WHERE current_object.zoid = ANY (chosen)) THEN
        PERFORM relpack.trim_left();
    END IF;
    IF cardinality(chosen) <> (SELECT deleted.revisions FROM relpack.trim_delete(zoids, tids, whiteouts => false) AS deleted) THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'stale';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.sweep_history(bigint[]) IS
    'Step of relpack.sweep_delete() in a history-preserving storage: deletes these objects. '
    'Returns their rows. Raises RP003 (stale) unless each is in relpack.doomed and has one revision, known, '
    'current and no later than the horizon, RP003 (unmarked) where one can be undone.';
-- +goose StatementEnd

-- sql/sweep_hurry.sql
-- +goose StatementBegin
-- The settings outlive the function: a client that stops before the commit, or goes
-- on in an open transaction, lets go of the lock.
CREATE OR REPLACE FUNCTION relpack.sweep_hurry()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('idle_in_transaction_session_timeout', '2s', true),
            set_config('statement_timeout', '2s', true);
    IF current_setting('server_version_num')::int >= 170000 THEN
        PERFORM set_config('transaction_timeout', '2s', true);
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.sweep_hurry() IS
    'Step of relpack.sweep(): what is left of this transaction may take 2 seconds.';
-- +goose StatementEnd

-- sql/sweep_order.sql
-- +goose StatementBegin
-- Small objects come first, so that a piece says something about the next. Those
-- of about one size go in the order of their zoids: neighbours lie on the same
-- pages, of the tables and of their indexes. Called with the settings of
-- relpack.sweep_batch().
CREATE OR REPLACE FUNCTION relpack.sweep_order(
    chosen bigint[], OUT zoids bigint[], OUT weights bigint[], OUT plain integer)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT array_agg(sized.zoid), array_agg(sized.weight), count(*) FILTER (WHERE NOT sized.blob)
    INTO zoids, weights, plain
    FROM (
        SELECT object.zoid, object.class = 1 AS blob, sum(1 + object.size / 8192) OVER by_size AS weight
        FROM relpack.object
        WHERE object.zoid = ANY (chosen) AND object.parent IS NULL
        WINDOW by_size AS (ORDER BY object.class = 1, object.size / 2048, object.zoid ROWS UNBOUNDED PRECEDING)
        ORDER BY object.class = 1, object.size / 2048, object.zoid
    ) AS sized;
END;
$$;

COMMENT ON FUNCTION relpack.sweep_order(bigint[]) IS
    'Step of relpack.sweep(): a batch in the order in which it is deleted, blobs last. '
    'weights: what it takes up to each object; an object, or a page of its state, is one. plain: so many are no blobs.';
-- +goose StatementEnd

-- sql/sweep_piece.sql
-- +goose StatementBegin
-- Called with the settings of relpack.sweep_batch(). Files of a history-preserving
-- storage are listed by relpack.trim_delete().
CREATE OR REPLACE FUNCTION relpack.sweep_piece(
    piece bigint[], OUT objects bigint, OUT bytes bigint, OUT blobs bigint)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_deleted record;
    v_gone record;
BEGIN
    v_deleted := relpack.sweep_delete(piece);
    WITH gone AS (
        DELETE FROM relpack.object WHERE zoid = ANY (piece) AND parent IS NULL RETURNING zoid, tid, size, class
    ), files AS (
        INSERT INTO relpack.blob_removal (zoid, tid)
        SELECT zoid, tid FROM gone WHERE class = 1 AND NOT (SELECT keeps_history FROM relpack.storage)
        ON CONFLICT DO NOTHING
    )
    SELECT count(gone.zoid) AS nodes, coalesce(sum(gone.size), 0) AS bytes,
           count(*) FILTER (WHERE gone.class = 1) AS blobs,
           count(deleted.zoid) AS rows,
           count(*) FILTER (WHERE deleted.tid = gone.tid) AS known
    INTO v_gone
    FROM gone
    FULL JOIN unnest(v_deleted.zoids, v_deleted.tids) AS deleted (zoid, tid) ON deleted.zoid = gone.zoid;
    -- Nothing but what is unreachable, in the revision that is known.
    IF v_gone.nodes <> cardinality(piece) OR v_gone.known <> v_gone.rows
       OR (v_gone.rows <> v_gone.nodes AND (SELECT keeps_history FROM relpack.storage)) THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'stale';
    END IF;
    DELETE FROM relpack.doomed WHERE zoid = ANY (piece);
    IF EXISTS (SELECT FROM relpack.problem) THEN
        DELETE FROM relpack.problem WHERE zoid = ANY (piece);
    END IF;
    IF EXISTS (SELECT FROM relpack.foreign_reference) THEN
        DELETE FROM relpack.foreign_reference WHERE inref = ANY (piece);
    END IF;
    objects := v_gone.rows;
    bytes := v_gone.bytes;
    blobs := v_gone.blobs;
END;
$$;

COMMENT ON FUNCTION relpack.sweep_piece(bigint[]) IS
    'Step of relpack.sweep(): deletes objects of a batch, and all that relpack knows of them but their references; blobs go to '
    'relpack.blob_removal. Raises RP003 (stale) unless all are unreachable and stored as they are known.';
-- +goose StatementEnd

-- sql/sweep_recheck.sql
-- +goose StatementBegin
-- The last question of a sweep, asked with the writers' lock held: was anything
-- written since the graph was settled? What bytes refer to can't be told without
-- decoding them: whoever decodes looks himself, while the lock is held, at a few;
-- for all others whatever was written may refer to garbage.
CREATE OR REPLACE FUNCTION relpack.sweep_recheck(last_tid bigint, decoder boolean)
RETURNS text
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_states bigint;
    v_bytes bigint;
BEGIN
    -- Triggers switched off, a table exchanged: since the run began.
    IF relpack.doubt() IS NOT NULL
       OR EXISTS (SELECT FROM relpack.write_event WHERE kind = 'truncated')
       OR coalesce(relpack.newest_tid(), 0) < last_tid THEN
        RETURN 'stale';
    END IF;
    SELECT count(*), coalesce(sum(length(few.state)), 0)
    INTO v_states, v_bytes
    FROM (
        (SELECT stored.state
         FROM relpack.stored()
         WHERE stored.tid > (SELECT applied_tid FROM relpack.storage)
         LIMIT 1001)
        UNION ALL
        (SELECT stored.state
         FROM relpack.write_event
         LEFT JOIN relpack.stored() ON stored.zoid = write_event.zoid
         LIMIT 1001)
    ) AS few;
    RETURN CASE
        WHEN v_states = 0 THEN 'nothing new'
        WHEN decoder IS NOT TRUE OR v_states > 1000 OR v_bytes > 500000 THEN 'stale'
        ELSE 'undecoded'
    END;
END;
$$;

COMMENT ON FUNCTION relpack.sweep_recheck(bigint, boolean) IS
    'Step of relpack.sweep(): whether anything was written since the graph was settled. '
    '"nothing new"; else stale, or undecoded where the caller decodes (decoder) and it is little, and looks at '
    'relpack.fresh_state() while the writers'' lock is held.';
-- +goose StatementEnd

-- sql/sweep_try.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.sweep_try(
    chosen bigint[], saturated boolean, decoder boolean,
    OUT outcome text, OUT objects bigint, OUT bytes bigint, OUT blobs bigint, OUT remaining bigint)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    remaining := (SELECT doomed_left FROM relpack.storage);
    BEGIN
        PERFORM set_config('relpack.sweeping', pg_current_xact_id()::text, true);
        SELECT done.outcome, done.objects, done.bytes, done.blobs
        INTO outcome, objects, bytes, blobs
        FROM relpack.sweep_batch(chosen, saturated, decoder) AS done;
        -- What follows in this transaction is no sweep's.
        PERFORM set_config('relpack.sweeping', '', true);
        -- Counted for each batch, garbage would be read as often as there are
        -- batches. Whether the deletion is over, the table itself tells.
        remaining := remaining - cardinality(chosen);
        IF remaining <= 0 THEN
            remaining := (SELECT count(*) FROM relpack.doomed);
        END IF;
        UPDATE relpack.storage
        SET doomed_left = sweep_try.remaining,
            begun_until = CASE WHEN sweep_try.remaining > 0 THEN greatest(storage.begun_until, storage.doomed_until) ELSE 0 END;
        IF outcome = 'undecoded' THEN
            -- Nobody can commit before this is taken away.
            INSERT INTO relpack.undecoded DEFAULT VALUES;
        ELSE
            outcome := 'swept';
        END IF;
    EXCEPTION
        WHEN SQLSTATE 'RP003' THEN
            outcome := CASE SQLERRM WHEN 'changed' THEN 'stale' ELSE SQLERRM END;
        WHEN lock_not_available OR deadlock_detected THEN
            outcome := 'busy';
        WHEN foreign_key_violation OR restrict_violation THEN
            outcome := 'held';
    END;
END;
$$;

COMMENT ON FUNCTION relpack.sweep_try(bigint[], boolean, boolean) IS
    'Step of relpack.sweep(): deletes a batch, or leaves everything as it was. '
    'outcome: swept, undecoded, busy, stale or saturated as of relpack.sweep_batch(), or held where rows of another table '
    'refer to one of its objects. remaining: of relpack.doomed.';
-- +goose StatementEnd

-- sql/take_back.sql
-- +goose StatementBegin
-- What default privileges (ALTER DEFAULT PRIVILEGES) give others on what relpack's
-- owner creates, nobody gave with relpack in mind. Who has TRIGGER or REFERENCES on
-- one of its tables, or CREATE on its schema, has code of his own run with the
-- rights of its owner: no role needs that, whoever granted it. Other grants on
-- what was there before are left as they are.
CREATE OR REPLACE FUNCTION relpack.take_back(created text[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE coalesce((
        SELECT string_agg(format('REVOKE %s ON %s FROM %s CASCADE', given.privilege, given.thing,
                                 CASE given.grantee WHEN 0 THEN 'PUBLIC' ELSE format('%I', pg_get_userbyid(given.grantee)) END), '; ')
        FROM (
            SELECT nspname, nspowner, 'SCHEMA relpack', privilege_type, grantee, privilege_type = 'CREATE'
            FROM pg_namespace, aclexplode(nspacl)
            WHERE nspname = 'relpack'
            UNION ALL
            SELECT relname, relowner,
                   format('%s relpack.%I', CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, relname),
                   privilege_type, grantee, privilege_type IN ('TRIGGER', 'REFERENCES')
            FROM pg_class, aclexplode(relacl)
            WHERE relnamespace = 'relpack'::regnamespace
            UNION ALL
            SELECT relname, relowner, format('relpack.%I', relname),
                   format('%s (%I)', privilege_type, attname), grantee, privilege_type = 'REFERENCES'
            FROM pg_class
            JOIN pg_attribute ON attrelid = pg_class.oid, aclexplode(attacl)
            WHERE relnamespace = 'relpack'::regnamespace
            UNION ALL
            SELECT proname, proowner, 'FUNCTION ' || pg_proc.oid::regprocedure, privilege_type, grantee, false
            FROM pg_proc, aclexplode(proacl)
            WHERE pronamespace = 'relpack'::regnamespace
        ) AS given (name, owner, thing, privilege, grantee, dangerous)
        WHERE given.grantee <> given.owner
          AND (given.dangerous OR take_back.created IS NULL OR given.name = ANY (take_back.created))
    ), '');
END;
$$;

COMMENT ON FUNCTION relpack.take_back(text[]) IS
    'Takes rights on what the migrations created from all roles but its owner. '
    'Default privileges may have given these on the relations and functions of these names; NULL: on all of relpack '
    'and its schema. '
    'TRIGGER and REFERENCES on any table of relpack and CREATE on its schema are taken in either case.';
-- +goose StatementEnd

-- sql/tid_to_time.sql
-- +goose StatementBegin
-- The moment a transaction id stands for. ZODB counts minutes since 1900 in
-- months of 31 days in the high half, and sixtieths of a minute in the low half.
-- Added without a time zone: with one, a day has 23 or 25 hours where clocks change.
-- A body that is parsed on creation needs no search_path, and can be inlined
-- into views over many rows.
CREATE OR REPLACE FUNCTION relpack.tid_to_time(tid bigint)
RETURNS timestamptz
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN (make_timestamp(((tid >> 32) / 535680 + 1900)::int, ((tid >> 32) / 44640 % 12 + 1)::int, 1, 0, 0, 0)
        + make_interval(days => ((tid >> 32) / 1440 % 31)::int,
                        hours => ((tid >> 32) / 60 % 24)::int,
                        mins => ((tid >> 32) % 60)::int,
                        secs => (tid & 4294967295) * 60.0 / 4294967296.0))
       AT TIME ZONE 'UTC';

COMMENT ON FUNCTION relpack.tid_to_time(bigint) IS
    'The moment a transaction id stands for. Example: SELECT relpack.tid_to_time(max(tid)) FROM object_state;';
-- +goose StatementEnd

-- sql/tids_ahead.sql
-- +goose StatementBegin
-- A client whose clock was wrong once leaves tids that all later ones exceed. A
-- few minutes are nothing: clocks differ.
CREATE OR REPLACE FUNCTION relpack.tids_ahead()
RETURNS text
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN greatest(storage.clock_tid, storage.noticed_tid) > clock.tid
            THEN format('The clock of the server was ahead when relpack ran: what it found cut off then stays until %s, '
                        'unless --days is negative. "relpack pack --init" forgets that.',
                        relpack.tid_to_time(greatest(storage.clock_tid, storage.noticed_tid))::timestamptz(0))
        WHEN storage.watermark > clock.tid
            THEN format('The highest transaction id is ahead of the server''s clock: it is of %s. The grace of what relpack found cut off '
                        'goes by the clock. Garbage of the first pack that has such an id stays until then, '
                        'unless --days is negative.',
                        relpack.tid_to_time(storage.watermark)::timestamptz(0))
        END
    FROM relpack.storage
    CROSS JOIN (SELECT relpack.time_to_tid(clock_timestamp() + interval '5 minutes') AS tid) AS clock;
$$;

COMMENT ON FUNCTION relpack.tids_ahead() IS
    'Says so when the last capture found transaction ids that are ahead of the server''s clock, or when that was set '
    'back since; else NULL.';
-- +goose StatementEnd

-- sql/time_to_tid.sql
-- +goose StatementBegin
-- The first transaction id of a moment; the inverse of relpack.tid_to_time. In
-- PL/pgSQL, which keeps what it has parsed from one call to the next.
CREATE OR REPLACE FUNCTION relpack.time_to_tid(moment timestamptz)
RETURNS bigint
LANGUAGE plpgsql
IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_utc timestamp := moment AT TIME ZONE 'UTC';
BEGIN
    RETURN CASE
        WHEN v_utc >= '5908-01-01' THEN 9223372036854775807 -- later ones don't fit
        WHEN v_utc < '1900-01-01' THEN 0
        ELSE (((((extract(year FROM v_utc)::bigint - 1900) * 12
                 + extract(month FROM v_utc)::bigint - 1) * 31
                + extract(day FROM v_utc)::bigint - 1) * 24
               + extract(hour FROM v_utc)::bigint) * 60
              + extract(minute FROM v_utc)::bigint << 32)
             + floor(extract(second FROM v_utc) * 4294967296.0 / 60.0)::bigint
        END;
END;
$$;

COMMENT ON FUNCTION relpack.time_to_tid(timestamptz) IS
    'The first transaction id of a moment: objects with a tid up to it were written before. '
    'infinity gives the highest tid. Example: SELECT relpack.time_to_tid(now() - interval ''1 day'');';
-- +goose StatementEnd

-- sql/timeline.sql
-- +goose StatementBegin
-- A physical copy of a server (pg_basebackup, a snapshot that is recovered with a
-- signal file) has its system identifier and its oids. When it is promoted, it begins
-- a timeline; pg_control_checkpoint() knows of that only after the next checkpoint.
CREATE OR REPLACE FUNCTION relpack.timeline()
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pg_is_in_recovery()
       OR NOT has_function_privilege('pg_current_wal_lsn()', 'EXECUTE')
       OR NOT has_function_privilege('pg_walfile_name(pg_lsn)', 'EXECUTE') THEN
        RETURN NULL;
    END IF;
    RETURN left(pg_walfile_name(pg_current_wal_lsn()), 8);
END;
$$;

COMMENT ON FUNCTION relpack.timeline() IS
    'The timeline that the server writes, as the names of its WAL files begin; NULL on a standby, and if the role may not see it.';
-- +goose StatementEnd

-- sql/to_vacuum.sql
-- +goose StatementBegin
-- What lies dead in a small table is looked through faster than it is cleaned. Files of
-- blobs stay listed in blob_removal while somebody may read them: there the size alone
-- tells nothing. A role that owns nothing leaves it to autovacuum; from PostgreSQL 17 on
-- there is a privilege for it.
CREATE OR REPLACE FUNCTION relpack.to_vacuum(changed bigint)
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF changed = 0 THEN
        RETURN NULL;
    END IF;
    RETURN (
        SELECT string_agg('relpack.' || relname, ', ')
        FROM pg_class
        WHERE relnamespace = 'relpack'::regnamespace
          AND CASE
              WHEN relname IN ('object', 'object_inref')
                  THEN changed * 50 > (SELECT objects - (SELECT count(*) FROM relpack.missing) FROM relpack.storage)
              WHEN relname = 'blob_removal' AND pg_stat_get_dead_tuples(oid) * 5 < pg_stat_get_live_tuples(oid)
                  THEN false
              WHEN relname IN ('write_event', 'pending', 'suspect', 'doomed', 'blob_removal', 'storage',
                               'foreign_reference', 'to_trim')
                  THEN pg_relation_size(oid) >= 1048576
              ELSE false
              END
          AND CASE
              WHEN pg_has_role(relowner, 'USAGE') THEN true
              WHEN current_setting('server_version_num')::int >= 170000 THEN has_table_privilege(oid, 'MAINTAIN')
              ELSE false
              END);
END;
$$;

COMMENT ON FUNCTION relpack.to_vacuum(bigint) IS
    'Which of relpack''s tables a pack that has read or deleted so many objects is to VACUUM, with commas between; '
    'NULL: none. RelStorage''s tables are their DBA''s.';
-- +goose StatementEnd

-- sql/trigger_applied.sql
-- +goose StatementBegin
-- AFTER row trigger of object_state, ENABLE REPLICA: logical replication (and
-- pglogical) applies rows without firing triggers of a statement. Elsewhere it
-- never fires, so that commits don't pay for it. The lock comes first, in a
-- statement of its own, for the reason that relpack.trigger_write has.
CREATE OR REPLACE FUNCTION relpack.trigger_applied()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, relpack, pg_temp
AS $$
BEGIN
    IF (tg_table_schema, tg_table_name) <> ('public', 'object_state') THEN
        -- Renamed, or moved away, it goes on as if relpack were not there; nobody
        -- gets anything from a trigger on a table of his own.
        RETURN NULL;
    END IF;
    -- Restored from a dump without relpack's tables: the site goes on.
    IF to_regclass('relpack.storage') IS NULL THEN
        RETURN NULL;
    END IF;
    IF (tg_op = 'DELETE' AND (pg_typeof(OLD.zoid), pg_typeof(OLD.tid)) <> ('bigint'::regtype, 'bigint'::regtype))
       OR (tg_op <> 'DELETE' AND (pg_typeof(NEW.zoid), pg_typeof(NEW.tid)) <> ('bigint'::regtype, 'bigint'::regtype)) THEN
        RAISE EXCEPTION 'object_state does not have the columns of RelStorage' USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM pg_advisory_xact_lock_shared(1919249520, 1);
    IF tg_op = 'DELETE' THEN
        -- See relpack.trigger_delete().
        UPDATE relpack.blob_removal
        SET since = NULL, missed = NULL
        WHERE blob_removal.zoid = OLD.zoid AND blob_removal.tid = OLD.tid AND blob_removal.since IS NOT NULL;
    END IF;
    INSERT INTO relpack.write_event (kind, zoid, tid)
    SELECT CASE tg_op WHEN 'DELETE' THEN 'deleted' ELSE 'written' END, applied.zoid, applied.tid
    FROM relpack.storage
    CROSS JOIN LATERAL (
        SELECT OLD.zoid, OLD.tid WHERE tg_op = 'DELETE'
        UNION ALL
        SELECT NEW.zoid, NEW.tid WHERE tg_op <> 'DELETE'
    ) AS applied
    WHERE storage.graph <> 'none'
      AND (tg_op = 'DELETE'
           OR applied.tid <= storage.watermark
           OR current_setting('transaction_isolation') <> 'read committed');
    RETURN NULL;
END;
$$;

COMMENT ON FUNCTION relpack.trigger_applied() IS
    'Trigger function: reports rows that logical replication applies, one by one, as relpack.trigger_write() and '
    'relpack.trigger_delete() report those of a statement.';
-- +goose StatementEnd

-- sql/trigger_delete.sql
-- +goose StatementBegin
-- AFTER DELETE trigger of object_state. A sweep cleans the graph itself and
-- needs no event; it says so by naming its transaction, and only objects that
-- are doomed are taken at its word.
CREATE OR REPLACE FUNCTION relpack.trigger_delete()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, relpack, pg_temp
AS $$
DECLARE
    v_known boolean;
    v_history boolean;
    v_graph text;
    v_horizon bigint;
    v_committed constant boolean := current_setting('transaction_isolation') = 'read committed';
BEGIN
    IF (tg_table_schema, tg_table_name) <> ('public', 'object_state') THEN
        -- Renamed, or moved away, it goes on as if relpack were not there; nobody
        -- gets anything from a trigger on a table of his own.
        RETURN NULL;
    END IF;
    -- Restored from a dump without relpack's tables: the site goes on.
    IF to_regclass('relpack.storage') IS NULL THEN
        RETURN NULL;
    END IF;
    -- On a table of another shape, the casts of its types would run with the
    -- rights of relpack's owner.
    IF (SELECT (pg_typeof(few.zoid), pg_typeof(few.tid), pg_typeof(few.state))
               <> ('bigint'::regtype, 'bigint'::regtype, 'bytea'::regtype)
        FROM deleted AS few
        LIMIT 1) THEN
        RAISE EXCEPTION 'object_state does not have the columns of RelStorage' USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- While the graph is built there is no index to look an object up by.
    SELECT storage.graph, storage.keeps_history, storage.horizon_tid INTO v_graph, v_history, v_horizon FROM relpack.storage;
    v_known := v_graph IN ('current', 'doubtful');
    IF v_history THEN
        -- A revision that was superseded up to the horizon is not in the graph: trims,
        -- whoever does them, are silent. Should the graph know one all the same (an
        -- object that was set back, what a later one names), it refers to too much.
        -- An older snapshot shows an older graph, another horizon, and revisions that are gone:
        -- there all that is deleted counts.
        -- Files of old revisions are those of who trims. In most sessions neither setting was
        -- ever made: it is NULL there. What is listed and was put back goes anew.
        IF EXISTS (SELECT FROM relpack.blob_removal WHERE since IS NOT NULL) THEN
            UPDATE relpack.blob_removal AS removal
            SET since = NULL, missed = NULL
            FROM deleted
            WHERE removal.zoid = deleted.zoid AND removal.tid = deleted.tid AND removal.since IS NOT NULL;
        END IF;
        -- Asked once for each object, from the newest on: the index still has all that is
        -- deleted here.
        INSERT INTO relpack.write_event (kind, zoid, tid)
        SELECT 'deleted', object.zoid, gone.tid
        FROM (
            SELECT deleted.zoid, array_agg(deleted.tid) AS tids, array_agg(deleted.state IS NULL) AS bare
            FROM deleted
            WHERE v_graph <> 'none' OR NOT v_committed
            GROUP BY deleted.zoid
        ) AS object
        CROSS JOIN LATERAL (
            SELECT max(stored.tid) AS tid
            FROM relpack.stored()
            WHERE stored.zoid = object.zoid AND stored.tid <= v_horizon
        ) AS newest
        CROSS JOIN LATERAL unnest(object.tids, object.bare) AS gone (tid, bare)
        WHERE (v_committed AND newest.tid > gone.tid) IS NOT TRUE
          AND NOT (current_setting('relpack.sweeping', true) IS NOT DISTINCT FROM pg_current_xact_id()::text
                   AND EXISTS (SELECT FROM relpack.doomed WHERE doomed.zoid = object.zoid OFFSET 0))
          AND NOT (current_setting('relpack.trimming', true) IS NOT DISTINCT FROM pg_current_xact_id()::text
                   AND gone.bare
                   AND EXISTS (SELECT FROM relpack.pending WHERE pending.zoid = object.zoid OFFSET 0));
        RETURN NULL;
    END IF;
    IF current_setting('relpack.sweeping', true) = pg_current_xact_id()::text THEN
        INSERT INTO relpack.write_event (kind, zoid, tid)
        SELECT 'deleted', deleted.zoid, deleted.tid
        FROM deleted
        WHERE NOT EXISTS (SELECT FROM relpack.doomed WHERE doomed.zoid = deleted.zoid);
    ELSE
        INSERT INTO relpack.write_event (kind, zoid, tid)
        SELECT 'deleted', deleted.zoid, deleted.tid
        FROM deleted;
    END IF;
    -- A plain state of a blob names the class in its first bytes. What does, or
    -- isn't plain, is none if the graph knows another class of this very revision
    -- (after a reload the zoid may be another object's).
    INSERT INTO relpack.blob_removal (zoid, tid)
    SELECT deleted.zoid, deleted.tid
    FROM deleted
    LEFT JOIN LATERAL (
        SELECT known.class
        FROM relpack.object AS known
        WHERE v_known AND known.zoid = deleted.zoid AND known.tid = deleted.tid
        OFFSET 0
    ) AS object ON true
    WHERE (deleted.state IS NULL
           OR substring(deleted.state FROM 1 FOR 1) = '.'
           OR position('ZODB.blob'::bytea IN substring(deleted.state FROM 1 FOR 64)) > 0)
      AND coalesce(object.class, 0) IN (0, 1)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END;
$$;

COMMENT ON FUNCTION relpack.trigger_delete() IS
    'Trigger function: reports deleted objects, and puts blobs among them into relpack.blob_removal, even if others delete '
    'them. In a history-preserving storage it reports deleted revisions, but for those that were superseded up to the '
    'horizon of the graph, and lists no blobs: who deletes a revision sees to its file.';
-- +goose StatementEnd

-- sql/trigger_identity.sql
-- +goose StatementBegin
-- Disabling and enabling a trigger leaves a trace in xmin of its catalog row,
-- dropping and creating it in its oid; renaming a table or moving it to another
-- schema in xmin of its row type's, which nothing else but another owner changes; a
-- table subscribed to a publication gets rows without firing statement triggers
-- (PostgreSQL manual, "Logical Replication: Architecture").
-- The triggers are silent where there is no relpack.storage, as in a dump that was restored
-- without relpack's tables: the site goes on. But the schema or its tables may only have
-- another name for a while, or a copy be in their place, which is told instead. To rename a
-- schema leaves a trace in xmin of its row, and so does a GRANT on it.
-- Names are looked up once, not for each row of the catalogs, and rows go by
-- index: every capture asks this, and every sweep while it holds up writers.
-- Without variables the plan is kept where those of a sweep are made again.
CREATE OR REPLACE FUNCTION relpack.trigger_identity()
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT concat_ws(' ',
            string_agg(concat(tgname, ':', pg_trigger.oid, ':', pg_trigger.xmin, ':', tgenabled), ' ' ORDER BY tgname, pg_trigger.oid),
            -- Renamed or moved away for a while, the table reported nothing.
            (SELECT 'named:' || pg_type.xmin
             FROM pg_class
             JOIN pg_type ON pg_type.oid = pg_class.reltype
             WHERE pg_class.oid = to_regclass('public.object_state')),
            (SELECT 'subscribed:' || string_agg(srsubid::text, ',' ORDER BY srsubid)
             FROM pg_subscription_rel
             WHERE srrelid = (SELECT to_regclass('public.object_state'))),
            (SELECT 'schema:' || pg_namespace.oid || ':' || pg_namespace.xmin FROM pg_namespace WHERE nspname = 'relpack'),
            (SELECT 'told:' || string_agg(concat(pg_type.oid, ':', pg_type.xmin), ',' ORDER BY pg_type.oid)
             FROM unnest(ARRAY[to_regclass('relpack.storage'),
                               to_regclass('relpack.write_event'),
                               to_regclass('relpack.blob_removal'),
                               to_regclass('relpack.committed')]::oid[]) AS told (relation)
             JOIN pg_class ON pg_class.oid = told.relation
             JOIN pg_type ON pg_type.oid = pg_class.reltype))
        FROM unnest(ARRAY[to_regclass('public.object_state'),
                          to_regclass('relpack.object'),
                          to_regclass('relpack.object_inref'),
                          to_regclass('relpack.missing'),
                          to_regclass('relpack.write_event'),
                          to_regclass('relpack.pending'),
                          to_regclass('relpack.suspect'),
                          to_regclass('relpack.problem'),
                          to_regclass('relpack.foreign_reference'),
                          to_regclass('relpack.capture')]::oid[]) AS reporting (relation)
        JOIN pg_trigger ON tgrelid = reporting.relation
        WHERE tgname LIKE 'relpack\_%');
END;
$$;

COMMENT ON FUNCTION relpack.trigger_identity() IS
    'Catalog identity of relpack''s triggers, of the schema and the tables that they write to, and of subscriptions to '
    'object_state: another one than in relpack.storage.trigger_identity means that writes may have gone unreported.';
-- +goose StatementEnd

-- sql/trigger_lock.sql
-- +goose StatementBegin
-- BEFORE trigger of every write to object_state. Taken before any row is
-- locked: later, a writer holding rows and a sweep holding the lock exclusively
-- would wait for each other. The two-key form can't meet an object's lock. To set
-- search_path for each of two calls a commit took a fifth of all that the triggers
-- take: there is one name here, with its schema; and it needs nobody else's rights.
CREATE OR REPLACE FUNCTION relpack.trigger_lock()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE
AS $$
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock_shared(1919249520, 1);
    RETURN NULL;
END;
$$;

COMMENT ON FUNCTION relpack.trigger_lock() IS
    'Trigger function: every writer of object_state holds advisory lock (1919249520, 1) shared until its transaction '
    'ends. Who holds it exclusively knows that no write is in flight.';
-- +goose StatementEnd

-- sql/trigger_move.sql
-- +goose StatementBegin
-- AFTER UPDATE row trigger of object_state, for rows whose zoid was changed: the
-- statement's trigger sees the new ones alone. RelStorage never does it; who
-- mends a storage in psql may. Nothing is cast on the way: on a table of another
-- shape that would run code of its owner with the rights of relpack's.
CREATE OR REPLACE FUNCTION relpack.trigger_move()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, relpack, pg_temp
AS $$
BEGIN
    IF (tg_table_schema, tg_table_name) <> ('public', 'object_state') THEN
        -- See relpack.trigger_delete.
        RETURN NULL;
    END IF;
    IF pg_typeof(OLD.zoid) <> 'bigint'::regtype OR pg_typeof(OLD.tid) <> 'bigint'::regtype THEN
        RAISE EXCEPTION 'object_state does not have the columns of RelStorage' USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- Restored from a dump without relpack's tables: the site goes on.
    IF to_regclass('relpack.storage') IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO relpack.write_event (kind, zoid, tid)
    VALUES ('deleted', OLD.zoid, OLD.tid);
    -- See relpack.trigger_delete().
    UPDATE relpack.blob_removal
    SET since = NULL, missed = NULL
    WHERE blob_removal.zoid = OLD.zoid AND blob_removal.tid = OLD.tid AND blob_removal.since IS NOT NULL;
    RETURN NULL;
END;
$$;

COMMENT ON FUNCTION relpack.trigger_move() IS
    'Trigger function: reports the old zoid of rows that got another.';
-- +goose StatementEnd

-- sql/trigger_rewrite.sql
-- +goose StatementBegin
-- AFTER UPDATE trigger of the object_state of a history-preserving storage, whose commits
-- update nothing. As relpack.trigger_write(), but for rows of which nobody asks what they
-- name as their predecessor: zodbpack has all that it keeps name none (prev_tid = 0).
-- Silent is only what the graph does not show: object, transaction and state are what
-- they were, the row is not later than the horizon, where relpack.trim_kept() asks
-- nobody's predecessor, and names none that it did not name before. So it keeps nothing
-- that it did not keep, whatever the horizon becomes meanwhile. While a first build reads
-- block after block nothing is silent: a row may move into one that was read.
CREATE OR REPLACE FUNCTION relpack.trigger_rewrite()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, relpack, pg_temp
AS $$
DECLARE
    v_watermark bigint;
    v_horizon bigint;
    v_graph text;
BEGIN
    IF (tg_table_schema, tg_table_name) <> ('public', 'object_state') THEN
        -- See relpack.trigger_delete.
        RETURN NULL;
    END IF;
    -- Restored from a dump without relpack's tables: the site goes on.
    IF to_regclass('relpack.storage') IS NULL THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM written) THEN
        -- Where a row is inserted or updated, and it was inserted.
        RETURN NULL;
    END IF;
    -- On a table of another shape, the casts and operators of its types would run with
    -- the rights of relpack's owner.
    IF (SELECT (pg_typeof(few.zoid), pg_typeof(few.tid), pg_typeof(few.prev_tid), pg_typeof(few.state))
               <> ('bigint'::regtype, 'bigint'::regtype, 'bigint'::regtype, 'bytea'::regtype)
        FROM written AS few
        LIMIT 1) THEN
        RAISE EXCEPTION 'object_state does not have the columns of RelStorage' USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- One that was put back, and gets another tid, is gone: see relpack.trigger_delete().
    IF EXISTS (SELECT FROM relpack.blob_removal WHERE since IS NOT NULL) THEN
        UPDATE relpack.blob_removal AS removal
        SET since = NULL, missed = NULL
        FROM replaced
        WHERE removal.zoid = replaced.zoid AND removal.tid = replaced.tid AND removal.since IS NOT NULL;
    END IF;
    -- An older snapshot shows an older watermark: all of what is written counts.
    IF current_setting('transaction_isolation') = 'read committed' THEN
        SELECT storage.watermark, storage.horizon_tid, storage.graph INTO v_watermark, v_horizon, v_graph FROM relpack.storage;
        IF v_graph = 'none' THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO relpack.write_event (kind, zoid, tid)
    SELECT 'written', written.zoid, written.tid
    FROM written
    WHERE (written.tid > v_watermark) IS NOT TRUE
      AND NOT EXISTS (
          SELECT
          FROM replaced
          WHERE replaced.zoid = written.zoid
            AND replaced.tid = written.tid
            AND replaced.tid <= v_horizon
            AND v_graph IN ('current', 'doubtful', 'reshaping')
            AND (written.prev_tid = 0 OR written.prev_tid = replaced.prev_tid)
            AND replaced.state IS NOT DISTINCT FROM written.state);
    RETURN NULL;
END;
$$;

COMMENT ON FUNCTION relpack.trigger_rewrite() IS
    'Trigger function: reports rows of a history-preserving storage that were rewritten, but for those of which only what '
    'they name as their predecessor has changed, and nobody asks that.';
-- +goose StatementEnd

-- sql/trigger_truncate.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.trigger_truncate()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, relpack, pg_temp
AS $$
BEGIN
    IF (tg_table_schema, tg_table_name) <> ('public', 'object_state') THEN
        -- Renamed, or moved away, it goes on as if relpack were not there; nobody
        -- gets anything from a trigger on a table of his own.
        RETURN NULL;
    END IF;
    -- Restored from a dump without relpack's tables: the site goes on.
    IF to_regclass('relpack.storage') IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO relpack.write_event (kind) VALUES ('truncated');
    -- What is loaded next may use the same oids and tids.
    DELETE FROM relpack.blob_removal;
    DELETE FROM relpack.committed;
    UPDATE relpack.storage SET marked_tid = 0 WHERE marked_tid > 0;
    RETURN NULL;
END;
$$;

COMMENT ON FUNCTION relpack.trigger_truncate() IS
    'Trigger function: reports a TRUNCATE of object_state and empties relpack.blob_removal and '
    'relpack.committed: what is loaded next was never trimmed.';
-- +goose StatementEnd

-- sql/trigger_write.sql
-- +goose StatementBegin
-- AFTER INSERT and AFTER UPDATE trigger of object_state. Commits have a tid
-- above the watermark and are found by it; only other writes make an event.
-- The lock was taken in an earlier statement (relpack.trigger_lock), so that
-- this one's snapshot shows the watermark as it is under the lock, unless the
-- transaction is not READ COMMITTED: then every row makes an event. On a table
-- of another shape, the casts and operators of its types would run with the
-- rights of relpack's owner: that is refused before a row is looked at. To set
-- search_path for every call took an eighth of what a commit pays for the
-- triggers: names and operators have their schemas instead.
CREATE OR REPLACE FUNCTION relpack.trigger_write()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE SECURITY DEFINER
AS $$
DECLARE
    v_watermark bigint;
    v_silent boolean;
BEGIN
    IF tg_table_schema OPERATOR(pg_catalog.<>) 'public' OR tg_table_name OPERATOR(pg_catalog.<>) 'object_state' THEN
        -- See relpack.trigger_delete.
        RETURN NULL;
    END IF;
    -- Restored from a dump without relpack's tables: the site goes on.
    IF pg_catalog.to_regclass('relpack.storage') IS NULL THEN
        RETURN NULL;
    END IF;
    -- The INSERT alone would do, but is begun in vain for nearly every commit.
    IF pg_catalog.current_setting('transaction_isolation') OPERATOR(pg_catalog.=) 'read committed' THEN
        SELECT storage.watermark,
               storage.graph OPERATOR(pg_catalog.=) 'none'
               OR NOT EXISTS (
                   SELECT
                   FROM written
                   WHERE CASE WHEN pg_catalog.pg_typeof(written.tid) OPERATOR(pg_catalog.=) 'bigint'::pg_catalog.regtype
                              THEN written.tid OPERATOR(pg_catalog.>) storage.watermark
                         END IS NOT TRUE)
        INTO v_watermark, v_silent
        FROM relpack.storage;
        IF v_silent THEN
            RETURN NULL;
        END IF;
    END IF;
    IF (SELECT pg_catalog.pg_typeof(written.tid) OPERATOR(pg_catalog.<>) 'bigint'::pg_catalog.regtype
               OR pg_catalog.pg_typeof(written.zoid) OPERATOR(pg_catalog.<>) 'bigint'::pg_catalog.regtype
        FROM written
        LIMIT 1) THEN
        RAISE EXCEPTION 'object_state does not have the columns of RelStorage' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO relpack.write_event (kind, zoid, tid)
    SELECT 'written', written.zoid, written.tid
    FROM written
    WHERE (written.tid OPERATOR(pg_catalog.>) v_watermark) IS NOT TRUE;
    RETURN NULL;
END;
$$;

COMMENT ON FUNCTION relpack.trigger_write() IS
    'Trigger function: reports rows whose tid is not above the watermark (restored rows, zodbconvert), and all rows '
    'of transactions that are not READ COMMITTED. An ordinary commit reports nothing.';
-- +goose StatementEnd

-- sql/trim_awaited.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.trim_awaited()
RETURNS text
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT CASE
               WHEN waits.pid IS NULL THEN 'a prepared transaction, see pg_prepared_xacts'
               ELSE format('pid %s, application "%s", since %s', waits.pid, activity.application_name, activity.xact_start::timestamptz(0))
               END
        FROM pg_locks AS waits
        LEFT JOIN pg_stat_activity AS activity ON activity.pid = waits.pid
        WHERE waits.virtualtransaction = ANY (nullif(current_setting('relpack.awaited', true), '')::text[])
        ORDER BY activity.xact_start
        LIMIT 1);
END;
$$;

COMMENT ON FUNCTION relpack.trim_awaited() IS
    'Names the oldest transaction for which relpack.trim_settle() still waits; NULL: none.';
-- +goose StatementEnd

-- sql/trim_batch.sql
-- +goose StatementBegin
-- Judges each revision anew, and deletes those that a later one up to until_tid
-- supersedes, unless one later than that names it: an undo of the later one looks for
-- it. What was written while this ran is looked at afterwards, by a new snapshot: then
-- nothing that can be undone may name what is gone.
CREATE OR REPLACE FUNCTION relpack.trim_batch(
    until_tid bigint, zoids bigint[], tids bigint[],
    OUT revisions bigint, OUT bytes bigint, OUT seconds double precision, OUT large bigint, OUT large_bytes bigint,
    OUT gone bigint[], OUT sizes bigint[], OUT left_alone bigint[])
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET lock_timeout = '100ms'
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_custom_plan
SET work_mem = '16MB'
AS $$
DECLARE
    v_zoids bigint[];
    v_tids bigint[];
    v_followed_zoids bigint[]; -- of objects that have later revisions
    v_followed_tids bigint[];
    v_naming bigint[];
BEGIN
    PERFORM relpack.trim_begin(until_tid);
    -- Whatever comes later is on the disk only together with this.
    PERFORM set_config('synchronous_commit', 'off', true);
    revisions := 0;
    bytes := 0;
    seconds := 0;
    large := 0;
    large_bytes := 0;
    -- Of most objects the newest revision supersedes all others, and none is later than that.
    SELECT array_agg(DISTINCT goes.zoid) FILTER (WHERE NOT goes.current),
           array_agg(goes.zoid) FILTER (WHERE goes.current), array_agg(goes.tid) FILTER (WHERE goes.current),
           array_agg(goes.zoid) FILTER (WHERE goes.newest > until_tid), array_agg(goes.tid) FILTER (WHERE goes.newest > until_tid)
    INTO left_alone, v_zoids, v_tids, v_followed_zoids, v_followed_tids
    FROM (
        SELECT object.zoid, asked.tid, newest.tid AS newest, newest.current
        FROM (
            SELECT known.zoid, array_agg(known.tid) AS tids
            FROM (SELECT unnest(zoids) AS zoid, unnest(tids) AS tid) AS known
            GROUP BY known.zoid
            ORDER BY known.zoid
        ) AS object
        CROSS JOIN LATERAL (
            SELECT found.tid, EXISTS (
                       SELECT
                       FROM public.current_object
                       WHERE current_object.zoid = object.zoid AND (current_object.tid = found.tid) IS TRUE) AS current
            FROM (SELECT max(stored.tid) AS tid FROM public.object_state AS stored WHERE stored.zoid = object.zoid) AS found
            OFFSET 0
        ) AS newest
        CROSS JOIN LATERAL (
            SELECT CASE WHEN newest.tid <= until_tid
                        THEN newest.tid
                        ELSE (SELECT max(stored.tid)
                              FROM public.object_state AS stored
                              WHERE stored.zoid = object.zoid AND stored.tid <= until_tid) END AS tid
            OFFSET 0
        ) AS kept
        CROSS JOIN LATERAL unnest(object.tids) AS asked (tid)
        WHERE NOT newest.current OR asked.tid < kept.tid
    ) AS goes;
    PERFORM relpack.trim_pend(left_alone);
    IF v_followed_zoids IS NOT NULL THEN
        SELECT array_agg(goes.zoid), array_agg(goes.tid)
        INTO v_zoids, v_tids
        FROM (SELECT unnest(v_zoids) AS zoid, unnest(v_tids) AS tid) AS goes
        WHERE (goes.zoid, goes.tid) NOT IN (
            SELECT later.zoid, later.tid FROM relpack.trim_named(v_followed_zoids, v_followed_tids, until_tid) AS later);
    END IF;
    IF v_zoids IS NULL THEN
        RETURN;
    END IF;
    SELECT deleted.revisions, deleted.bytes, deleted.seconds, deleted.gone_zoids, deleted.gone_tids, deleted.gone_sizes,
           deleted.large, deleted.large_bytes
    INTO revisions, bytes, seconds, gone, v_tids, sizes, large, large_bytes
    FROM relpack.trim_delete(v_zoids, v_tids, whiteouts => false) AS deleted;
    v_naming := ARRAY(SELECT naming.named_by FROM relpack.trim_named(gone, v_tids, 0) AS naming);
    -- Of a transaction that lost a row of its own, half would be undone.
    IF relpack.trim_unmarked(v_tids || v_naming) THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'unmarked';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.trim_batch(bigint, bigint[], bigint[]) IS
    'Removes old revisions, with their blobs. Of those given it takes what later ones up to until_tid supersede and none '
    'later than that names; returns how many, the bytes of their states, how long the deletion took, and the large objects '
    'that went; gone, sizes: object and bytes of each revision that went; left_alone: objects that stay '
    'as they are (relpack.trim_leaves()), and are read again for the graph. Raises RP002 before '
    'relpack.trim_settle() was true, RP003 (unmarked) where a transaction can be undone that wrote one of them '
    'or, be it meanwhile, one that names one.';
-- +goose StatementEnd

-- sql/trim_begin.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.trim_begin(until_tid bigint)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $$
BEGIN
    -- Keys and triggers stay as they are found from here on.
    LOCK TABLE public.object_state IN ROW EXCLUSIVE MODE;
    PERFORM relpack.trim_require();
    IF current_setting('relpack.settling', true) IS DISTINCT FROM 'settled' THEN
        RAISE EXCEPTION 'an undo may be in flight that began before this session took the pack lock'
            USING ERRCODE = 'RP002', HINT = 'Call relpack.trim_settle() until it returns true.';
    END IF;
    -- On the disk, but not on that of a standby: see relpack.commit_locally().
    PERFORM relpack.commit_locally();
    IF (until_tid <= (SELECT max(tid) FROM public.transaction)) IS NOT TRUE THEN
        RAISE EXCEPTION 'transaction % is later than the newest one', coalesce(until_tid::text, 'NULL') USING ERRCODE = 'RP002';
    END IF;
    -- Kept, too, if this trim does not come to its end.
    UPDATE relpack.storage SET marked_tid = relpack.trim_marks(until_tid) WHERE marked_tid < until_tid;
    -- What another table's key holds back is to be found here, not by the COMMIT.
    SET CONSTRAINTS ALL IMMEDIATE;
END;
$$;

COMMENT ON FUNCTION relpack.trim_begin(bigint) IS
    'Begins a step that deletes revisions, and notes how far that goes (relpack.trim_marks()): raises RP002 unless '
    'relpack.trim_settle() was true and until_tid is not later than the newest transaction.';
-- +goose StatementEnd

-- sql/trim_blobs.sql
-- +goose StatementBegin
-- Before their rows go: who may not unlink the large objects is refused.
CREATE OR REPLACE FUNCTION relpack.trim_blobs(
    chosen_zoids bigint[], chosen_tids bigint[],
    OUT zoids bigint[], OUT tids bigint[], OUT large oid[])
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_owner oid := (SELECT relowner FROM pg_class WHERE oid = to_regclass('public.blob_chunk'));
    v_foreign oid[];
BEGIN
    IF v_owner IS NULL OR NOT EXISTS (SELECT FROM public.blob_chunk) THEN
        RETURN;
    END IF;
    SELECT array_agg(blob_chunk.zoid), array_agg(blob_chunk.tid), array_agg(DISTINCT known.oid) FILTER (WHERE known.oid IS NOT NULL),
           array_agg(DISTINCT known.lomowner) FILTER (WHERE NOT pg_has_role(v_owner, known.lomowner, 'USAGE'))
    INTO zoids, tids, large, v_foreign
    FROM unnest(chosen_zoids, chosen_tids) AS chosen (zoid, tid)
    JOIN public.blob_chunk ON blob_chunk.zoid = chosen.zoid AND blob_chunk.tid = chosen.tid
    LEFT JOIN pg_largeobject_metadata AS known ON known.oid = blob_chunk.chunk;
    IF zoids IS NULL THEN
        RETURN;
    END IF;
    DELETE FROM relpack.blob_removal AS removal
    USING unnest(zoids, tids) AS held (zoid, tid)
    WHERE removal.zoid = held.zoid AND removal.tid = held.tid;
    IF v_foreign IS NOT NULL AND NOT current_setting('lo_compat_privileges')::boolean THEN
        RAISE EXCEPTION 'large objects that would be deleted belong to %, and blob_chunk to %, which may not unlink them',
                        array_to_string(v_foreign::regrole[], ', '), v_owner::regrole
            USING ERRCODE = 'RP002',
                  HINT = (SELECT string_agg(format('GRANT %s TO %s;', owner::regrole, v_owner::regrole), ' ' ORDER BY owner)
                          FROM unnest(v_foreign) AS owner);
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.trim_blobs(bigint[], bigint[]) IS
    'Step of relpack.trim_delete(): of these revisions those whose blobs are in the database, and their large objects that '
    'are there. They have no files: takes them off relpack.blob_removal. Raises RP002 when some of the large objects belong '
    'to a role that the owner of blob_chunk is no member of.';
-- +goose StatementEnd

-- sql/trim_classes.sql
-- +goose StatementBegin
-- The newest state of those that go tells the class where no graph does: those that come
-- later may be none. Its beginning is enough, compressed or not.
CREATE OR REPLACE FUNCTION relpack.trim_classes(zoids bigint[], tids bigint[])
RETURNS TABLE (zoid bigint, class text, head bytea)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    PERFORM relpack.lock_storage(history => true);
    RETURN QUERY
    SELECT object.zoid, known.label, newest.head
    FROM (
        SELECT revision.zoid, min(revision.tid) AS oldest, max(revision.tid) AS newest
        FROM (SELECT unnest(zoids) AS zoid, unnest(tids) AS tid) AS revision
        GROUP BY revision.zoid
        ORDER BY revision.zoid
    ) AS object
    LEFT JOIN LATERAL (
        SELECT few.label
        FROM (SELECT node.class FROM relpack.object AS node WHERE node.zoid = object.zoid AND node.class <> 0 OFFSET 0) AS graph
        CROSS JOIN LATERAL (SELECT named.label FROM relpack.class AS named WHERE named.id = graph.class OFFSET 0) AS few
        OFFSET 0
    ) AS known ON true
    LEFT JOIN LATERAL (
        SELECT substring(stored.state FROM 1 FOR 500) AS head
        FROM public.object_state AS stored
        WHERE known.label IS NULL
          AND stored.zoid = object.zoid
          AND stored.tid BETWEEN object.oldest AND object.newest
          AND octet_length(stored.state) > 0
        ORDER BY stored.tid DESC
        LIMIT 1
    ) AS newest ON true;
END;
$$;

COMMENT ON FUNCTION relpack.trim_classes(bigint[], bigint[]) IS
    'Step of a trim: of which class each object is that loses these revisions, as far as the graph knows. head: where it '
    'does not, the first bytes of the newest state among them, for the client to decode.';
-- +goose StatementEnd

-- sql/trim_cleared.sql
-- +goose StatementBegin
-- Not beyond the watermark: what is restored there makes no event, so that nothing would
-- take this back.
CREATE OR REPLACE FUNCTION relpack.trim_cleared(until_tid bigint, listed boolean DEFAULT false)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_storage relpack.storage;
    v_cleared bigint;
    v_since bigint := 0;
BEGIN
    PERFORM relpack.trim_begin(until_tid);
    v_storage := relpack.known_storage();
    v_cleared := v_storage.cleared_tid;
    IF listed THEN
        v_since := v_cleared;
        IF v_since = 0 THEN
            RAISE EXCEPTION 'a trim has to go through all objects' USING ERRCODE = 'RP002', HINT = 'Run "relpack pack".';
        END IF;
    END IF;
    IF relpack.trim_undoable(until_tid) THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'unmarked';
    END IF;
    UPDATE relpack.storage
    SET cleared_tid = greatest(v_cleared, least(until_tid, watermark)),
        gone_through = CASE WHEN listed OR until_tid < v_cleared THEN gone_through ELSE now() END,
        emptied = CASE WHEN listed THEN emptied ELSE (SELECT count(*) FROM relpack.emptied) END;
    IF until_tid < v_cleared THEN
        -- One that came further has looked at the others; what is listed is for the next.
        RETURN;
    END IF;
    -- Which are set back no more, relpack.capture_set_back() says: what they cut off has a grace.
    DELETE FROM relpack.to_trim
    WHERE NOT alone;
END;
$$;

COMMENT ON FUNCTION relpack.trim_cleared(bigint, boolean) IS
    'Says that a trim up to until_tid has been through all objects, or through what relpack.trim_list() listed. '
    'Now relpack.sweep() may delete what the revisions that are left do not refer to. A later capture that finds an event '
    'takes it back; a trim that does not come as far does not. Raises RP003 (unmarked) where a transaction up to there can '
    'be undone.';
-- +goose StatementEnd

-- sql/trim_committed.sql
-- +goose StatementBegin
-- Before RelStorage 3.0 a client chooses its tids by a clock of its own, which nobody
-- compares with the server's. But one commit follows the other, in the order of their
-- tids: whoever begins after this moment sees all up to here.
CREATE OR REPLACE FUNCTION relpack.trim_committed()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_newest bigint;
BEGIN
    -- The moment is to be later than the look.
    IF NOT relpack.keeps_history() OR relpack.lock_protocol() <> 'table'
       OR current_setting('transaction_isolation') <> 'read committed'
       OR has_table_privilege(to_regclass('public.transaction'), 'SELECT') IS NOT TRUE THEN
        RETURN;
    END IF;
    v_newest := (SELECT max(tid) FROM public.transaction);
    -- The storage has gone back to an earlier transaction.
    DELETE FROM relpack.committed WHERE tid > v_newest;
    INSERT INTO relpack.committed (tid, noted)
    SELECT v_newest, relpack.capture_read_until()
    WHERE v_newest IS NOT NULL
    ON CONFLICT (tid) DO NOTHING;
END;
$$;

COMMENT ON FUNCTION relpack.trim_committed() IS
    'Notes the newest transaction, and the moment, in relpack.committed, for relpack.trim_until(): in history-preserving '
    'storages of RelStorage before 3.0, in others nothing.';
-- +goose StatementEnd

-- sql/trim_delete.sql
-- +goose StatementBegin
-- The one place that deletes revisions. A row is as good as not waited for. Large
-- objects are unlinked by RelStorage's trigger on blob_chunk, and only there: two
-- revisions may share one. It names blob_chunk without its schema, and counts: no
-- other table of that name may be found first. Files of blobs are listed, and go later,
-- by exact revision: the plain state of a blob begins with its class (a node of a BTree
-- may name it a little later), and is so short that zlibstorage (.z) leaves it plain; what
-- begins with a dot otherwise and is short may be an encrypted one. What triggers and
-- rules of others make of a DELETE is not asked beforehand: afterwards no row may be left,
-- and each large object that a row names must be there. Where there are none, rows that
-- were returned are gone. The keys' own queries would be planned anew for each row but for
-- plan_cache_mode. The rows for the triggers are kept in work_mem.
-- Of each object the rows from the oldest to the newest of these are read, once: a batch
-- of a trim has all of them but those that later ones name. A comparison of rows goes by
-- the primary key, and without enable_material no plan compares all rows with all objects.
-- Where a step of a trim looks each revision up by itself, it does so by BETWEEN: of two
-- indexes that serve a plain comparison, the planner may take the one on tid, and read all
-- of a transaction for each of its revisions; in a join it may compare all revisions of an
-- object with each other. What is looked up is in the order of the index, so that one look
-- after the other finds the same pages.
CREATE OR REPLACE FUNCTION relpack.trim_delete(
    zoids bigint[], tids bigint[], whiteouts boolean,
    OUT revisions bigint, OUT bytes bigint, OUT seconds double precision,
    OUT gone_zoids bigint[], OUT gone_tids bigint[], OUT gone_sizes bigint[],
    OUT large bigint, OUT large_bytes bigint)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '1ms'
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_material = off
SET plan_cache_mode = force_generic_plan
SET work_mem = '16MB'
AS $$
DECLARE
    v_named bigint[];
    v_file_zoids bigint[];
    v_file_tids bigint[];
    v_blobs record;
    v_others boolean;
    v_begun timestamptz;
    v_stay oid[];
    v_listed bigint;
BEGIN
    v_blobs := relpack.trim_blobs(zoids, tids);
    large := 0;
    large_bytes := 0;
    IF v_blobs.large IS NOT NULL THEN
        BEGIN
            large_bytes := relpack.large_object_bytes(v_blobs.large);
        EXCEPTION WHEN undefined_object THEN
            large_bytes := NULL; -- somebody unlinks one meanwhile
        END;
    END IF;
    v_begun := clock_timestamp();
    SET LOCAL search_path TO DEFAULT;
    PERFORM set_config(
        'search_path',
        concat_ws(', ', 'pg_catalog', 'public', nullif(current_setting('search_path'), ''), 'pg_temp'),
        true);
    PERFORM set_config('work_mem', '64MB', true);
    WITH deleted AS (
        DELETE FROM public.object_state AS stored
        USING (
            SELECT chosen.zoid, min(chosen.tid) AS oldest, max(chosen.tid) AS newest
            FROM (SELECT unnest(zoids) AS zoid, unnest(tids) AS tid) AS chosen
            GROUP BY chosen.zoid
            ORDER BY chosen.zoid
        ) AS object
        WHERE stored.zoid = object.zoid
          AND (stored.zoid, stored.tid) >= (object.zoid, object.oldest)
          AND (stored.zoid, stored.tid) <= (object.zoid, object.newest)
          AND ((stored.zoid, stored.tid) IN (SELECT unnest(zoids), unnest(tids))) IS TRUE
          AND (NOT whiteouts OR stored.state IS NULL)
        RETURNING stored.zoid, stored.tid, stored.prev_tid, stored.state_size,
                  position('ZODB.blob'::bytea IN substring(stored.state FROM 1 FOR 24)) > 0
                  OR (substring(stored.state FROM 1 FOR 1) = '.' AND substring(stored.state FROM 1 FOR 2) <> '.z'
                      AND stored.state_size < 300) AS file
    )
    SELECT array_agg(deleted.zoid), array_agg(deleted.tid), array_agg(deleted.state_size), array_agg(deleted.prev_tid),
           array_agg(deleted.zoid) FILTER (WHERE deleted.file), array_agg(deleted.tid) FILTER (WHERE deleted.file),
           count(*), coalesce(sum(deleted.state_size), 0)
    INTO gone_zoids, gone_tids, gone_sizes, v_named, v_file_zoids, v_file_tids, revisions, bytes
    FROM deleted;
    PERFORM set_config('search_path', 'pg_catalog, pg_temp', true),
            set_config('work_mem', '16MB', true);
    seconds := extract(epoch FROM clock_timestamp() - v_begun);
    v_others := EXISTS (
        SELECT
        FROM pg_trigger
        JOIN pg_proc ON pg_proc.oid = tgfoid
        WHERE NOT tgisinternal
          AND ((tgrelid = 'public.object_state'::regclass AND pronamespace <> 'relpack'::regnamespace)
               OR (tgrelid = to_regclass('public.blob_chunk') AND tgname NOT LIKE 'blob\_chunk\_delete%')));
    IF (v_others OR revisions <> cardinality(zoids))
       AND EXISTS (
               SELECT
               FROM unnest(zoids, tids) AS chosen (zoid, tid)
               CROSS JOIN LATERAL (
                   SELECT FROM public.object_state
                   WHERE object_state.zoid = chosen.zoid AND object_state.tid BETWEEN chosen.tid AND chosen.tid
                   OFFSET 0
               ) AS stored) THEN
        PERFORM relpack.trim_left();
    END IF;
    IF (v_others OR v_blobs.zoids IS NOT NULL) AND to_regclass('public.blob_chunk') IS NOT NULL THEN
        IF EXISTS (SELECT
                   FROM unnest(gone_zoids, gone_tids) AS gone (zoid, tid)
                   JOIN public.blob_chunk ON blob_chunk.zoid = gone.zoid AND blob_chunk.tid = gone.tid) THEN
            PERFORM relpack.trim_left();
        END IF;
        IF v_blobs.large IS NOT NULL AND EXISTS (
            SELECT
            FROM (SELECT DISTINCT unnest(zoids) AS zoid) AS object
            JOIN public.blob_chunk ON blob_chunk.zoid = object.zoid
            WHERE (blob_chunk.chunk IN (SELECT unnest(v_blobs.large))) IS TRUE
              AND NOT EXISTS (SELECT FROM pg_largeobject_metadata AS known WHERE known.oid = blob_chunk.chunk)) THEN
            RAISE EXCEPTION 'a trigger of blob_chunk unlinks large objects that other revisions name'
                USING ERRCODE = 'RP002', HINT = 'Nothing of this batch was deleted. Look at its trigger blob_chunk_delete.';
        END IF;
    END IF;
    IF v_blobs.large IS NOT NULL THEN
        v_stay := ARRAY(SELECT known.oid FROM pg_largeobject_metadata AS known WHERE known.oid = ANY (v_blobs.large));
        large := cardinality(v_blobs.large) - cardinality(v_stay);
        BEGIN
            large_bytes := large_bytes - relpack.large_object_bytes(v_stay);
        EXCEPTION WHEN undefined_object THEN
            large_bytes := NULL;
        END;
    END IF;
    IF v_file_zoids IS NOT NULL THEN
        -- In the database there is no file. One that was restored meanwhile is removed anew:
        -- who began since then may read it.
        INSERT INTO relpack.blob_removal (zoid, tid)
        SELECT listed.zoid, listed.tid
        FROM unnest(v_file_zoids, v_file_tids) AS listed (zoid, tid)
        WHERE ((listed.zoid, listed.tid) IN (
                  SELECT held.zoid, held.tid FROM unnest(v_blobs.zoids, v_blobs.tids) AS held (zoid, tid))) IS NOT TRUE
        ON CONFLICT (zoid, tid) DO UPDATE SET since = NULL, missed = NULL;
    END IF;
    WITH listed AS (
        INSERT INTO relpack.emptied (tid)
        SELECT named.tid
        FROM (SELECT DISTINCT unnest(gone_tids || v_named) AS tid ORDER BY 1) AS named
        WHERE named.tid > 0
          AND NOT EXISTS (SELECT FROM public.object_state WHERE object_state.tid = named.tid)
          AND NOT EXISTS (SELECT FROM public.object_state WHERE object_state.prev_tid = named.tid)
        ON CONFLICT (tid) DO UPDATE SET since = excluded.since
        RETURNING xmax = 0 AS added -- and not listed before
    )
    SELECT count(*) INTO v_listed FROM listed WHERE added;
    IF v_listed > 0 THEN
        UPDATE relpack.storage SET emptied = emptied + v_listed;
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.trim_delete(bigint[], bigint[], boolean) IS
    'Step of a trim: deletes these revisions, which its caller has judged. whiteouts: if they have no state. seconds: how '
    'long the DELETE took; gone_zoids, gone_tids, gone_sizes: what it deleted; large, large_bytes: how many '
    'large objects went, and their length, NULL where this '
    'role may not read one. Lists files of blobs among these in '
    'relpack.blob_removal, and transactions that no row names any more in relpack.emptied. Raises RP002 when a '
    'trigger of somebody else kept one, or unlinked what is still named, RP003 (changed) when one was written meanwhile, '
    'lock_not_available when one is locked.';
-- +goose StatementEnd

-- sql/trim_due.sql
-- +goose StatementBegin
-- As relpack.trim_transactions() decides, after relpack.trim_mark(). Each is looked up: a
-- plan that goes through object_state for a few would take as long as a build.
CREATE OR REPLACE FUNCTION relpack.trim_due(until_tid bigint)
RETURNS bigint
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
    v_until bigint := relpack.trim_marks(until_tid);
BEGIN
    RETURN (
        SELECT count(*)
        FROM relpack.emptied
        WHERE since < clock_timestamp() - interval '7 days'
          AND tid < relpack.time_to_tid(clock_timestamp() - interval '24 hours')
          AND tid < (SELECT max(newest.tid) FROM public.transaction AS newest)
          AND EXISTS (
              SELECT FROM public.transaction
              WHERE transaction.tid = emptied.tid AND (transaction.packed OR transaction.tid <= v_until)
              OFFSET 0)
          AND NOT EXISTS (SELECT FROM public.object_state WHERE object_state.tid = emptied.tid OFFSET 0)
          AND NOT EXISTS (SELECT FROM public.object_state WHERE object_state.prev_tid = emptied.tid OFFSET 0));
END;
$$;

COMMENT ON FUNCTION relpack.trim_due(bigint) IS
    'For a dry run: how many transactions relpack.trim_transactions() would remove, after relpack.trim_mark() up to until_tid.';
-- +goose StatementEnd

-- sql/trim_end.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.trim_end(
    run bigint, until_tid bigint, revisions bigint, bytes bigint, transactions bigint,
    oldest_tid bigint DEFAULT NULL, history jsonb DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM relpack.require_packer_alive(pg_backend_pid());
    -- Without a graph nobody reports what is restored.
    UPDATE relpack.storage
    SET trimmed_tid = greatest(storage.trimmed_tid, until_tid),
        oldest_tid = CASE WHEN graph = 'current' THEN coalesce(trim_end.oldest_tid, 0) ELSE 0 END;
    UPDATE relpack.run
    SET revisions = trim_end.revisions,
        revision_bytes = trim_end.bytes,
        transactions = trim_end.transactions,
        trimmed_until = CASE WHEN trim_end.until_tid > 0 THEN relpack.tid_to_time(trim_end.until_tid) END,
        oldest = relpack.tid_to_time(trim_end.oldest_tid),
        history = trim_end.history
    WHERE id = trim_end.run;
END;
$$;

COMMENT ON FUNCTION relpack.trim_end(bigint, bigint, bigint, bigint, bigint, bigint, jsonb) IS
    'Notes in relpack.run what a trim has removed, and in relpack.storage up to which tid all of it was trimmed (NULL: it '
    'was not finished); oldest_tid: relpack.oldest_kept(); history: revisions that went, or would, by class. For the session that '
    'holds the pack lock.';
-- +goose StatementEnd

-- sql/trim_find.sql
-- +goose StatementBegin
-- Goes through the primary key, an object after the other, from the oldest revision
-- on: all objects, or those that are listed. What is found is judged again by who
-- deletes it. One row more is read than judged: of the last one nobody knows what comes
-- after it.
CREATE OR REPLACE FUNCTION relpack.trim_find(
    until_tid bigint, after_zoid bigint, after_tid bigint, batch integer, rows_read integer,
    listed boolean DEFAULT false, judged boolean DEFAULT true,
    OUT zoids bigint[], OUT tids bigint[], OUT sizes bigint[], OUT revisions bigint, OUT bytes bigint,
    OUT left_alone bigint[], OUT last_zoid bigint, OUT last_tid bigint)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET max_parallel_workers_per_gather = 0
SET plan_cache_mode = force_custom_plan
SET work_mem = '16MB'
AS $$
DECLARE
    v_zoids bigint[];
    v_tids bigint[];
    v_fits bigint;
    -- A large object unlinked takes a lock until the transaction ends.
    v_locks bigint := current_setting('max_locks_per_transaction')::bigint
                      * current_setting('max_connections')::bigint / 4;
BEGIN
    IF (batch >= 1 AND rows_read >= 1) IS NOT TRUE THEN
        RAISE EXCEPTION 'batch and rows_read are 1 at least, not % and %', batch, rows_read USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM relpack.lock_storage(history => true);
    revisions := 0;
    bytes := 0;
    -- Beside each row the next one.
    SELECT array_agg(read.zoid) FILTER (WHERE read.superseded), array_agg(read.tid) FILTER (WHERE read.superseded),
           max(read.zoid) FILTER (WHERE read.place = rows_read AND read.followed),
           max(read.tid) FILTER (WHERE read.place = rows_read AND read.followed)
    INTO v_zoids, v_tids, last_zoid, last_tid
    FROM (
        SELECT stored.zoid, stored.tid, row_number() OVER next AS place, lead(stored.zoid) OVER next IS NOT NULL AS followed,
               lead(stored.zoid) OVER next = stored.zoid AND lead(stored.tid) OVER next <= until_tid AS superseded
        FROM (
            (SELECT object_state.zoid, object_state.tid
             FROM public.object_state
             WHERE NOT listed AND (object_state.zoid, object_state.tid) > (after_zoid, after_tid)
             ORDER BY object_state.zoid, object_state.tid
             LIMIT rows_read + 1)
            UNION ALL
            (SELECT few.zoid, revision.tid
             FROM relpack.to_trim AS few
             CROSS JOIN LATERAL (
                 SELECT object_state.tid
                 FROM public.object_state
                 WHERE object_state.zoid = few.zoid AND object_state.tid > CASE WHEN few.zoid = after_zoid THEN after_tid ELSE 0 END
                 ORDER BY object_state.tid
                 LIMIT rows_read + 1
             ) AS revision
             WHERE listed AND few.zoid >= after_zoid
             ORDER BY few.zoid, revision.tid
             LIMIT rows_read + 1)
        ) AS stored
        WINDOW next AS (ORDER BY stored.zoid, stored.tid)
    ) AS read;
    IF v_zoids IS NULL THEN
        RETURN;
    END IF;
    v_fits := least(cardinality(v_zoids), batch);
    IF to_regclass('public.blob_chunk') IS NOT NULL THEN
        v_fits := relpack.trim_fit(v_zoids[:v_fits], v_tids[:v_fits], v_locks);
    END IF;
    IF v_fits < cardinality(v_zoids) OR v_fits = batch THEN
        last_zoid := v_zoids[v_fits];
        last_tid := v_tids[v_fits];
    END IF;
    v_zoids := v_zoids[:v_fits];
    v_tids := v_tids[:v_fits];
    IF NOT judged THEN
        zoids := v_zoids;
        tids := v_tids;
        revisions := cardinality(v_zoids);
        RETURN;
    END IF;
    left_alone := ARRAY(SELECT relpack.trim_leaves(ARRAY(SELECT DISTINCT unnest(v_zoids) ORDER BY 1)));
    SELECT array_agg(goes.zoid), array_agg(goes.tid), array_agg(stored.state_size), count(*), sum(stored.state_size)
    INTO zoids, tids, sizes, revisions, bytes
    FROM unnest(v_zoids, v_tids) AS goes (zoid, tid)
    CROSS JOIN LATERAL (
        SELECT state_size
        FROM public.object_state
        WHERE object_state.zoid = goes.zoid AND object_state.tid BETWEEN goes.tid AND goes.tid
        OFFSET 0
    ) AS stored
    WHERE goes.zoid <> ALL (left_alone)
      AND (goes.zoid, goes.tid) NOT IN (SELECT later.zoid, later.tid FROM relpack.trim_named(v_zoids, v_tids, until_tid) AS later);
    PERFORM relpack.trim_pend(left_alone);
    bytes := coalesce(bytes, 0);
END;
$$;

COMMENT ON FUNCTION relpack.trim_find(bigint, bigint, bigint, integer, integer, boolean, boolean) IS
    'Finds revisions that a later one up to until_tid supersedes, and none later than that names. A trim removes them. At '
    'most a batch, of the next rows_read rows of object_state after this one; listed: of the objects in relpack.to_trim '
    'alone. judged => false: whatever later ones name, and of all objects, as relpack.trim_batch() judges it again; bytes is '
    '0, sizes and left_alone NULL. zoids, tids, sizes: of each revision. left_alone: objects that stay as they are '
    '(relpack.trim_leaves()), and are read again for the graph. last_zoid, last_tid: where to go on; NULL: that was all. '
    'Raises invalid_parameter_value when batch or rows_read is below 1.';
-- +goose StatementEnd

-- sql/trim_fit.sql
-- +goose StatementBegin
-- Looks no further than to the first large object that is too many.
CREATE OR REPLACE FUNCTION relpack.trim_fit(zoids bigint[], tids bigint[], locks bigint)
RETURNS bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM public.blob_chunk) THEN
        RETURN cardinality(zoids);
    END IF;
    RETURN coalesce(
        (SELECT greatest(chosen.place - 1, 1)
         FROM unnest(zoids, tids) WITH ORDINALITY AS chosen (zoid, tid, place)
         CROSS JOIN LATERAL (
             SELECT
             FROM public.blob_chunk
             WHERE blob_chunk.zoid = chosen.zoid AND blob_chunk.tid = chosen.tid
             OFFSET 0
         ) AS held
         ORDER BY chosen.place
         OFFSET locks
         LIMIT 1),
        cardinality(zoids));
END;
$$;

COMMENT ON FUNCTION relpack.trim_fit(bigint[], bigint[], bigint) IS
    'Step of relpack.trim_find(): how many of these revisions, from the first, have no more large objects than there '
    'are locks; at least one.';
-- +goose StatementEnd

-- sql/trim_held.sql
-- +goose StatementBegin
-- Asked by every step of a trim that others rely on: between two steps no undo may begin.
CREATE OR REPLACE FUNCTION relpack.trim_held()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_held boolean;
BEGIN
    -- Asked first: what comes next takes the lock for this transaction.
    v_held := coalesce(current_setting('relpack.lock_protocol', true), '') <> '' AND EXISTS (
        SELECT
        FROM pg_locks
        WHERE locktype = 'advisory'
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND pid = pg_backend_pid() AND granted
          AND classid = 4294967295 AND objid = 4294967294 AND objsubid = 1 AND mode = 'ExclusiveLock');
    PERFORM relpack.require_pack_lock(history => true);
    IF NOT v_held THEN
        RAISE EXCEPTION 'this session does not hold the pack lock: an undo may begin between two steps'
            USING ERRCODE = 'RP002', HINT = 'Call relpack.try_pack_lock() first.';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.trim_held() IS
    'Raises RP002 unless the storage is a history-preserving one and this session holds the pack lock '
    '(relpack.try_pack_lock()), and what relpack.require_pack_lock() raises.';
-- +goose StatementEnd

-- sql/trim_kept.sql
-- +goose StatementBegin
-- The rule of what a pack of a history-preserving storage keeps, one object at a time:
-- trims take the others (relpack.trim_find()), the graph has the references of these.
-- An object that was set back (relpack.trim_leaves()) keeps all. Tids, not rows: who
-- reads states reads one after the other. Each lookup goes by the primary key, whatever
-- the planner expects of those on tid and prev_tid, and a long history is read once.
CREATE OR REPLACE FUNCTION relpack.trim_kept(object_zoid bigint, until_tid bigint)
RETURNS SETOF bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
DECLARE
    v_newest bigint;
    v_current boolean;
    v_first bigint;
BEGIN
    -- For most objects that is all.
    SELECT newest.tid, EXISTS (
        SELECT FROM public.current_object WHERE current_object.zoid = object_zoid AND (current_object.tid = newest.tid) IS TRUE)
    INTO v_newest, v_current
    FROM (SELECT max(stored.tid) AS tid FROM public.object_state AS stored WHERE stored.zoid = object_zoid) AS newest;
    IF v_current AND v_newest <= until_tid THEN
        RETURN NEXT v_newest;
        RETURN;
    END IF;
    IF v_current THEN
        v_first := (SELECT max(stored.tid) FROM public.object_state AS stored WHERE stored.zoid = object_zoid AND stored.tid <= until_tid);
    END IF;
    -- An undo of a later one looks for what that names.
    RETURN QUERY
    SELECT old.tid
    FROM (
        SELECT DISTINCT later.prev_tid
        FROM public.object_state AS later
        WHERE later.zoid = object_zoid AND (later.zoid, later.tid) > (object_zoid, until_tid) AND later.prev_tid + 0 < v_first
    ) AS named
    CROSS JOIN LATERAL (
        SELECT object_state.tid
        FROM public.object_state
        WHERE object_state.zoid = object_zoid AND object_state.tid BETWEEN named.prev_tid AND named.prev_tid
        OFFSET 0
    ) AS old
    ORDER BY old.tid;
    RETURN QUERY
    SELECT stored.tid
    FROM public.object_state AS stored
    WHERE stored.zoid = object_zoid AND (v_first IS NULL OR stored.tid >= v_first)
    ORDER BY stored.tid;
END;
$$;

COMMENT ON FUNCTION relpack.trim_kept(bigint, bigint) IS
    'The revisions of an object that a pack of a history-preserving storage up to until_tid keeps if it keeps the object, '
    'the oldest first: all later ones, the newest up to until_tid, and older ones that a later one names as its '
    'predecessor; all where current_object does not name the newest.';
-- +goose StatementEnd

-- sql/trim_keys.sql
-- +goose StatementBegin
-- By tables and columns: constraints have other names up to RelStorage 2.x. A foreign
-- key is as good as its four triggers, two on each side, which ALTER TABLE ... DISABLE
-- TRIGGER ALL switches off.
CREATE OR REPLACE FUNCTION relpack.trim_keys()
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_off text;
BEGIN
    IF current_setting('session_replication_role') = 'replica' THEN
        RETURN 'session_replication_role is replica';
    END IF;
    SELECT string_agg(concat_ws(' ', expected.relation, expected.columns, 'REFERENCES ' || expected.target), ', '
                      ORDER BY expected.relation, expected.columns)
    INTO v_off
    FROM (VALUES ('object_state', 'zoid, tid', NULL, NULL, 'p', ''),
                 ('current_object', 'zoid', NULL, NULL, 'p', ''),
                 ('transaction', 'tid', NULL, NULL, 'p', ''),
                 ('object_state', 'tid', 'transaction', 'tid', 'f', 'ar'),
                 ('object_state', 'prev_tid', 'transaction', 'tid', 'f', 'ar'),
                 ('current_object', 'zoid, tid', 'object_state', 'zoid, tid', 'f', 'ar'),
                 ('blob_chunk', 'zoid, tid', 'object_state', 'zoid, tid', 'f', 'c'))
        AS expected (relation, columns, target, target_columns, kind, action)
    WHERE to_regclass('public.' || expected.relation) IS NOT NULL
      AND NOT EXISTS (
          SELECT
          FROM pg_constraint AS held
          CROSS JOIN LATERAL (
              SELECT string_agg(own.attname, ', ' ORDER BY pair.place) AS own, string_agg(other.attname, ', ' ORDER BY pair.place) AS other
              FROM unnest(held.conkey, held.confkey) WITH ORDINALITY AS pair (own, other, place)
              JOIN pg_attribute AS own ON own.attrelid = held.conrelid AND own.attnum = pair.own
              LEFT JOIN pg_attribute AS other ON other.attrelid = held.confrelid AND other.attnum = pair.other
          ) AS names
          WHERE held.conrelid = to_regclass('public.' || expected.relation)
            AND held.contype = expected.kind::"char"
            AND held.convalidated
            AND names.own = expected.columns
            AND CASE
                WHEN expected.kind = 'p' THEN
                    (SELECT indisvalid FROM pg_index WHERE indexrelid = held.conindid)
                ELSE
                    held.confrelid = to_regclass('public.' || expected.target)
                    AND names.other = expected.target_columns
                    AND strpos(expected.action, held.confdeltype::text) > 0
                    AND 4 = (SELECT count(*) FROM pg_trigger WHERE tgconstraint = held.oid AND tgenabled IN ('O', 'A'))
                END);
    -- One more that changes rows of its own would take them along before the others refuse.
    RETURN coalesce(v_off, (
        SELECT string_agg(format('%I on %s changes rows when what it refers to goes', further.conname, further.conrelid::regclass), ', ')
        FROM pg_constraint AS further
        WHERE further.contype = 'f'
          AND further.confdeltype NOT IN ('a', 'r')
          AND further.confrelid IN ('public.object_state'::regclass, 'public.current_object'::regclass, 'public.transaction'::regclass)
          AND further.conrelid IS DISTINCT FROM to_regclass('public.blob_chunk')));
END;
$$;

COMMENT ON FUNCTION relpack.trim_keys() IS
    'Which of the keys that RelStorage creates in a history-preserving storage are missing or switched off, or which '
    'other ones would change rows; NULL: none.';
-- +goose StatementEnd

-- sql/trim_leaves.sql
-- +goose StatementBegin
-- current_object is the truth: an object that was set back to an older revision, or
-- has no current one, stays as it is. Its tid is compared so that no index on tid is used:
-- see relpack.sweep_history().
CREATE OR REPLACE FUNCTION relpack.trim_leaves(zoids bigint[])
RETURNS SETOF bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    RETURN QUERY
    SELECT chosen.zoid
    FROM unnest(zoids) AS chosen (zoid)
    WHERE NOT EXISTS (
        SELECT
        FROM public.current_object
        WHERE current_object.zoid = chosen.zoid
          AND (current_object.tid = (SELECT max(newest.tid) FROM public.object_state AS newest
                                     WHERE newest.zoid = chosen.zoid)) IS TRUE);
END;
$$;

COMMENT ON FUNCTION relpack.trim_leaves(bigint[]) IS
    'Which of these objects a trim leaves as they are: current_object does not name their newest revision.';
-- +goose StatementEnd

-- sql/trim_left.sql
-- +goose StatementBegin
-- A BEFORE trigger that returns NULL, and a rule, leave a row where it is, and the
-- server says no word.
CREATE OR REPLACE FUNCTION relpack.trim_left()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_tables regclass[] := ARRAY[to_regclass('public.object_state'), to_regclass('public.blob_chunk'),
                                 to_regclass('public.current_object')];
    v_others text;
BEGIN
    -- Of tgtype: FOR EACH ROW (1), BEFORE (2), DELETE (8).
    SELECT string_agg(others.name, ', ' ORDER BY others.name)
    INTO v_others
    FROM (
        SELECT format('trigger %I on %s', tgname, tgrelid::regclass)
        FROM pg_trigger
        WHERE tgrelid = ANY (v_tables)
          AND NOT tgisinternal AND tgenabled <> 'D' AND tgtype & 11 = 11 AND tgname NOT LIKE 'blob\_chunk\_delete%'
        UNION ALL
        SELECT format('rule %I on %s', rulename, ev_class::regclass)
        FROM pg_rewrite
        WHERE ev_class = ANY (v_tables)
    ) AS others (name);
    IF v_others IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'changed';
    END IF;
    RAISE EXCEPTION 'rows stay that are to be deleted: %', v_others
        USING ERRCODE = 'RP002', HINT = 'Nothing of this batch was deleted. Drop the trigger or rule.';
END;
$$;

COMMENT ON FUNCTION relpack.trim_left() IS
    'Tells what may have kept a row, where one is left. Step of relpack.trim_delete() and relpack.trim_uncreated(): raises '
    'RP002 with the triggers and rules, RP003 (changed) where there are none.';
-- +goose StatementEnd

-- sql/trim_list.sql
-- +goose StatementBegin
-- By index on tid, then on the object: what was not written since costs nothing.
CREATE OR REPLACE FUNCTION relpack.trim_list(until_tid bigint)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_since bigint;
BEGIN
    PERFORM relpack.require_pack_lock(history => true);
    PERFORM relpack.lock_storage(history => true);
    v_since := relpack.trim_since();
    IF v_since = 0 THEN
        RETURN false;
    END IF;
    INSERT INTO relpack.to_trim (zoid)
    SELECT DISTINCT changed.zoid
    FROM public.object_state AS changed
    WHERE changed.tid > v_since
      AND changed.tid <= until_tid
      AND EXISTS (SELECT FROM public.object_state AS older WHERE older.zoid = changed.zoid AND older.tid < changed.tid OFFSET 0)
    ON CONFLICT DO NOTHING;
    RETURN true;
END;
$$;

COMMENT ON FUNCTION relpack.trim_list(bigint) IS
    'Lists in relpack.to_trim the objects of which a trim up to until_tid may take a revision, so that '
    'relpack.trim_find(listed => true) looks at these only. False: nobody knows which these are (relpack.trim_since()), '
    'and a trim has to go through all objects. For the session that holds the pack lock.';
-- +goose StatementEnd

-- sql/trim_mark.sql
-- +goose StatementBegin
-- An undo of a transaction whose predecessors are gone would un-create objects:
-- RelStorage undoes no transaction that is marked as packed. An earlier trim may have come
-- further: see relpack.trim_marks().
CREATE OR REPLACE FUNCTION relpack.trim_mark(
    until_tid bigint, after_tid bigint, batch integer,
    OUT marked bigint, OUT last_tid bigint)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_known bigint;
    v_until bigint;
    v_tids bigint[];
BEGIN
    PERFORM relpack.trim_held();
    v_known := relpack.trim_marks(0);
    UPDATE relpack.storage SET marked_tid = v_known WHERE marked_tid < 0 OR marked_tid > v_known; -- unless a TRUNCATE came in between
    v_until := greatest(until_tid, v_known);
    v_tids := ARRAY(
        SELECT tid
        FROM public.transaction
        WHERE tid > greatest(after_tid, 0) AND tid <= v_until AND packed IS NOT TRUE
        ORDER BY tid
        LIMIT batch);
    last_tid := v_tids[batch];
    marked := 0;
    -- A commit before RelStorage 3.0 locks the whole table: it is not waited for in vain.
    IF cardinality(v_tids) > 0 THEN
        PERFORM relpack.require_history();
        UPDATE public.transaction SET packed = true WHERE tid = ANY (v_tids);
        GET DIAGNOSTICS marked = ROW_COUNT;
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.trim_mark(bigint, bigint, integer) IS
    'Marks transactions up to until_tid as packed, or as far as an earlier trim has come, so that nobody undoes them: a '
    'batch of those after after_tid; last_tid: the last of these, NULL where there are no more.';
-- +goose StatementEnd

-- sql/trim_marks.sql
-- +goose StatementBegin
-- Who restores a transaction that was trimmed, or whose predecessors were, may not have it
-- marked, and an undo of it would un-create objects. So all are marked up to where any trim
-- has come, be the pack time earlier now. Where nobody knows that, marks of before tell it.
-- What is loaded after a TRUNCATE was not trimmed, nor what is committed where the storage has
-- gone back, and the clock as well: it gets earlier tids.
CREATE OR REPLACE FUNCTION relpack.trim_marks(until_tid bigint)
RETURNS bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_marked bigint := (SELECT marked_tid FROM relpack.storage);
BEGIN
    IF v_marked < 0 THEN
        v_marked := (SELECT max(tid) FROM public.transaction WHERE packed);
    ELSIF v_marked > relpack.time_to_tid(clock_timestamp()) THEN
        v_marked := least(v_marked, (SELECT max(tid) FROM public.transaction));
    END IF;
    RETURN greatest(until_tid, v_marked, 0);
END;
$$;

COMMENT ON FUNCTION relpack.trim_marks(bigint) IS
    'Up to which tid a trim up to until_tid marks transactions as packed: until_tid, or as far as an earlier one may have '
    'removed revisions.';
-- +goose StatementEnd

-- sql/trim_named.sql
-- +goose StatementBegin
-- Each index is said, whatever the planner expects: that on prev_tid has the revisions of
-- other objects as well. It serves an object of which many are asked about, and that has
-- far more: of these the rows between the tids that were asked for are compared. "IS TRUE"
-- makes a lookup in a hash of it.
CREATE OR REPLACE FUNCTION relpack.trim_named(
    zoids bigint[], tids bigint[], after_tid bigint,
    OUT zoid bigint, OUT tid bigint, OUT named_by bigint)
RETURNS SETOF record
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_custom_plan
SET work_mem = '16MB'
AS $$
BEGIN
    RETURN QUERY
    WITH object AS MATERIALIZED (
        SELECT known.zoid, known.oldest, known.newest,
               known.asked > 1000
               AND EXISTS (
                   SELECT
                   FROM public.object_state
                   WHERE object_state.zoid = known.zoid AND (object_state.zoid, object_state.tid) > (known.zoid, after_tid)
                   OFFSET 50 * known.asked) AS long
        FROM (SELECT asked.zoid, min(asked.tid) AS oldest, max(asked.tid) AS newest, count(*) AS asked
              FROM (SELECT unnest(zoids) AS zoid, unnest(tids) AS tid) AS asked
              GROUP BY asked.zoid
              ORDER BY asked.zoid) AS known
    ), naming AS MATERIALIZED (
        SELECT object.zoid, stored.prev_tid, stored.tid
        FROM object
        CROSS JOIN LATERAL (
            SELECT object_state.prev_tid, object_state.tid
            FROM public.object_state
            WHERE object_state.zoid = object.zoid AND (object_state.zoid, object_state.tid) > (object.zoid, after_tid)
              AND object_state.prev_tid + 0 BETWEEN object.oldest AND object.newest
            OFFSET 0
        ) AS stored
        WHERE NOT object.long
        UNION ALL
        SELECT object.zoid, stored.prev_tid, stored.tid
        FROM object
        CROSS JOIN LATERAL (
            SELECT object_state.prev_tid, object_state.tid
            FROM public.object_state
            WHERE object_state.zoid + 0 = object.zoid AND object_state.tid + 0 > after_tid
              AND object_state.prev_tid BETWEEN object.oldest AND object.newest
            OFFSET 0
        ) AS stored
        WHERE object.long
    )
    SELECT naming.zoid, naming.prev_tid, naming.tid
    FROM naming
    WHERE ((naming.zoid, naming.prev_tid) IN (SELECT unnest(zoids), unnest(tids))) IS TRUE;
END;
$$;

COMMENT ON FUNCTION relpack.trim_named(bigint[], bigint[], bigint) IS
    'Which of these revisions stored ones later than after_tid name in prev_tid, and which do: an undo of these looks '
    'for that revision.';
-- +goose StatementEnd

-- sql/trim_note.sql
-- +goose StatementBegin
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
-- +goose StatementEnd

-- sql/trim_pend.sql
-- +goose StatementBegin
-- Nobody reports that an object was set back: now all of its revisions count. Nor that it
-- is no more: the next trim looks at it again. Without a graph, nothing has been read of it.
CREATE OR REPLACE FUNCTION relpack.trim_pend(left_alone bigint[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF coalesce(cardinality(left_alone), 0) = 0 THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM relpack.storage WHERE graph <> 'none') THEN
        INSERT INTO relpack.to_trim (zoid, alone)
        SELECT alone.zoid, true FROM unnest(left_alone) AS alone (zoid) ORDER BY alone.zoid
        ON CONFLICT (zoid) DO UPDATE SET alone = true WHERE NOT to_trim.alone;
        INSERT INTO relpack.pending (zoid)
        SELECT alone.zoid FROM unnest(left_alone) AS alone (zoid) ORDER BY alone.zoid
        ON CONFLICT DO NOTHING;
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.trim_pend(bigint[]) IS
    'Step of a trim: has the objects read again for the graph that it leaves as they are (relpack.trim_leaves()), and has '
    'the next trim look at them.';
-- +goose StatementEnd

-- sql/trim_require.sql
-- +goose StatementBegin
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
-- +goose StatementEnd

-- sql/trim_settle.sql
-- +goose StatementBegin
-- An undo lets go of the pack lock before it commits. Until then its row names the
-- large object of an old revision, and its predecessor, and nobody sees it. It has
-- written to object_state by then: so whoever has, when this session first asks,
-- must have ended before the first revision goes. An undo locks no objects: who had
-- voted before it committed will name a revision that is older than the undo's. So
-- when undos are over, those are waited for that have voted by then. Nobody is kept
-- waiting for that.
CREATE OR REPLACE FUNCTION relpack.trim_settle()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_stage text;
    v_awaited text[];
BEGIN
    PERFORM relpack.trim_held();
    v_stage := coalesce(current_setting('relpack.settling', true), '');
    IF v_stage = 'settled' THEN
        RETURN true;
    END IF;
    IF v_stage = '' THEN
        v_awaited := relpack.trim_writers(voted => false);
    ELSE
        SELECT array_agg(waits)
        INTO v_awaited
        FROM unnest(nullif(current_setting('relpack.awaited', true), '')::text[]) AS waits
        WHERE waits = ANY (relpack.trim_writers(voted => v_stage = 'votes'));
    END IF;
    IF v_stage = '' THEN
        v_stage := 'undos';
    END IF;
    IF v_stage = 'undos' AND coalesce(cardinality(v_awaited), 0) = 0 THEN
        v_stage := 'votes';
        v_awaited := relpack.trim_writers(voted => true);
    END IF;
    IF v_stage = 'votes' AND coalesce(cardinality(v_awaited), 0) = 0 THEN
        v_stage := 'settled';
        PERFORM relpack.trim_committed();
    END IF;
    PERFORM set_config('relpack.settling', v_stage, false),
            set_config('relpack.awaited', coalesce(v_awaited, '{}')::text, false);
    RETURN v_stage = 'settled';
END;
$$;

COMMENT ON FUNCTION relpack.trim_settle() IS
    'Whether all transactions have ended that were writing when this session, which holds the pack lock, first asked, and '
    'then all that had voted: undos may be among the first, and the others may name what was before an undo. Before that '
    'nothing is trimmed.';
-- +goose StatementEnd

-- sql/trim_since.sql
-- +goose StatementBegin
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
-- +goose StatementEnd

-- sql/trim_transactions.sql
-- +goose StatementBegin
-- A commit in its second phase may name a transaction that nothing names any more:
-- it began before that, and has ended a week later. Neither the newest one nor one of
-- today goes: RelStorage chooses the next tid by the first, and clients ask for the
-- others. A commit before RelStorage 3.0 locks the whole table: it is waited for before
-- any row is locked, where there is one to remove.
CREATE OR REPLACE FUNCTION relpack.trim_transactions(
    batch integer, after_tid bigint,
    OUT removed bigint, OUT last_tid bigint)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET lock_timeout = '1ms'
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_week timestamptz := clock_timestamp() - interval '7 days';
    v_struck bigint;
    v_listed bigint[];
    v_free bigint[];
    v_before bigint := relpack.time_to_tid(clock_timestamp() - interval '24 hours');
BEGIN
    removed := 0;
    IF NOT EXISTS (SELECT FROM relpack.emptied WHERE since < v_week) THEN
        RETURN;
    END IF;
    v_listed := ARRAY(
        SELECT tid
        FROM relpack.emptied
        WHERE tid > after_tid AND since < v_week
        ORDER BY tid
        LIMIT batch);
    last_tid := v_listed[cardinality(v_listed)];
    IF last_tid IS NULL THEN
        RETURN;
    END IF;
    PERFORM relpack.trim_require();
    -- As relpack.trim_batch() does.
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM set_config('lock_timeout', '100ms', true);
    LOCK TABLE public.transaction IN ROW EXCLUSIVE MODE;
    PERFORM set_config('lock_timeout', '1ms', true);
    v_free := ARRAY(
        SELECT transaction.tid
        FROM public.transaction
        WHERE transaction.tid = ANY (v_listed)
          AND transaction.packed
          AND transaction.tid > 0
          AND transaction.tid < v_before
          AND transaction.tid < (SELECT max(newest.tid) FROM public.transaction AS newest)
        ORDER BY transaction.tid
        FOR UPDATE SKIP LOCKED);
    -- Looked at after they were locked: nobody can name one of them from here on.
    v_free := ARRAY(
        SELECT free.tid
        FROM unnest(v_free) AS free (tid)
        WHERE NOT EXISTS (SELECT FROM public.object_state WHERE object_state.tid = free.tid)
          AND NOT EXISTS (SELECT FROM public.object_state WHERE object_state.prev_tid = free.tid));
    -- Of the keys' own queries too, which would be planned anew for each row.
    PERFORM set_config('plan_cache_mode', 'auto', true);
    DELETE FROM public.transaction WHERE transaction.tid = ANY (v_free);
    GET DIAGNOSTICS removed = ROW_COUNT;
    PERFORM set_config('plan_cache_mode', 'force_custom_plan', true);
    -- One that is named again, or gone, is listed no more.
    DELETE FROM relpack.emptied
    WHERE emptied.tid = ANY (v_listed)
      AND ((removed = cardinality(v_free) AND emptied.tid = ANY (v_free))
           OR NOT EXISTS (SELECT FROM public.transaction WHERE transaction.tid = emptied.tid)
           OR EXISTS (SELECT FROM public.object_state WHERE object_state.tid = emptied.tid)
           OR EXISTS (SELECT FROM public.object_state WHERE object_state.prev_tid = emptied.tid));
    GET DIAGNOSTICS v_struck = ROW_COUNT;
    UPDATE relpack.storage SET emptied = greatest(0, emptied - v_struck);
END;
$$;

COMMENT ON FUNCTION relpack.trim_transactions(integer, bigint) IS
    'Removes transactions that were listed in relpack.emptied at least seven days ago and that no revision names: a batch '
    'of those after after_tid; last_tid: the last one that was looked at, NULL where there are no more.';
-- +goose StatementEnd

-- sql/trim_uncreated.sql
-- +goose StatementBegin
-- current_object first: its key points at the revision. A client that stores the
-- object again waits for us, or we don't find it as it was. Only an object of one
-- revision goes: older ones are trimmed before. A commit before RelStorage 3.0 locks all
-- of current_object: it is waited for before any row is locked.
CREATE OR REPLACE FUNCTION relpack.trim_uncreated(
    until_tid bigint, chosen bigint[],
    OUT objects bigint)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET lock_timeout = '1ms'
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_zoids bigint[];
    v_tids bigint[];
BEGIN
    PERFORM relpack.trim_begin(until_tid);
    PERFORM set_config('lock_timeout', '100ms', true);
    LOCK TABLE public.current_object IN ROW EXCLUSIVE MODE;
    PERFORM set_config('lock_timeout', '1ms', true);
    SELECT array_agg(stored.zoid ORDER BY stored.zoid), array_agg(stored.tid ORDER BY stored.zoid)
    INTO v_zoids, v_tids
    FROM unnest(chosen) AS few (zoid)
    JOIN public.object_state AS stored ON stored.zoid = few.zoid
    JOIN public.current_object ON current_object.zoid = stored.zoid AND (current_object.tid = stored.tid) IS TRUE
    WHERE stored.state IS NULL
      AND stored.zoid <> 0
      AND stored.tid <= until_tid
      AND NOT EXISTS (
          SELECT FROM public.object_state AS another WHERE another.zoid = stored.zoid AND another.tid <> stored.tid);
    objects := 0;
    IF v_zoids IS NULL THEN
        RETURN;
    END IF;
    IF relpack.trim_unmarked(v_tids) THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'unmarked';
    END IF;
    -- Their nodes go with the next apply: nobody has to be told that they are missing.
    IF EXISTS (SELECT FROM relpack.storage WHERE graph <> 'none') THEN
        PERFORM set_config('relpack.trimming', pg_current_xact_id()::text, true);
        INSERT INTO relpack.missing (zoid, accepted)
        SELECT object.zoid, true
        FROM unnest(v_zoids) AS gone (zoid)
        JOIN relpack.object ON object.zoid = gone.zoid
        ON CONFLICT (zoid) DO UPDATE SET accepted = true;
        INSERT INTO relpack.pending (zoid)
        SELECT gone.zoid FROM unnest(v_zoids) AS gone (zoid)
        ON CONFLICT DO NOTHING;
    END IF;
    DELETE FROM public.current_object
    USING unnest(v_zoids, v_tids) AS gone (zoid, tid)
    WHERE current_object.zoid = gone.zoid AND (current_object.tid = gone.tid) IS TRUE;
    GET DIAGNOSTICS objects = ROW_COUNT;
    IF EXISTS (SELECT
               FROM unnest(v_zoids, v_tids) AS gone (zoid, tid)
               JOIN public.current_object ON current_object.zoid = gone.zoid AND (current_object.tid = gone.tid) IS TRUE) THEN
        PERFORM relpack.trim_left();
    END IF;
    IF objects <> cardinality(v_zoids)
       OR objects <> (SELECT deleted.revisions FROM relpack.trim_delete(v_zoids, v_tids, whiteouts => true) AS deleted) THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'changed';
    END IF;
    PERFORM set_config('relpack.trimming', '', true);
    IF relpack.anyone_waits() THEN
        RAISE EXCEPTION USING ERRCODE = 'RP003', MESSAGE = 'busy';
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.trim_uncreated(bigint, bigint[]) IS
    'Removes those of these objects whose only revision has no state and is not later than until_tid, referred to or not: '
    'who loads them gets a POSKeyError before and afterwards. Raises as relpack.trim_batch() does, and RP003 (busy) where a '
    'client waits.';
-- +goose StatementEnd

-- sql/trim_undoable.sql
-- +goose StatementBegin
-- All transactions are asked about, whatever the caller has set: who has one marked no more
-- makes no event.
CREATE OR REPLACE FUNCTION relpack.trim_undoable(until_tid bigint)
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = on
SET enable_bitmapscan = on
AS $$
DECLARE
    v_until bigint := relpack.trim_marks(until_tid);
BEGIN
    -- By the index on them: EXISTS reads the table where many later ones are not marked.
    RETURN (SELECT min(tid) FROM public.transaction WHERE tid > 0 AND tid <= v_until AND packed IS NOT TRUE) IS NOT NULL;
END;
$$;

COMMENT ON FUNCTION relpack.trim_undoable(bigint) IS
    'Whether a transaction is not marked as packed that a trim up to until_tid marks (relpack.trim_marks()), so that it can '
    'be undone.';
-- +goose StatementEnd

-- sql/trim_unmarked.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.trim_unmarked(tids bigint[])
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN EXISTS (
        SELECT
        FROM (SELECT DISTINCT unnest(tids) AS tid ORDER BY 1) AS wrote
        LEFT JOIN public.transaction ON transaction.tid = wrote.tid
        WHERE transaction.packed IS NOT TRUE);
END;
$$;

COMMENT ON FUNCTION relpack.trim_unmarked(bigint[]) IS
    'Whether one of these transactions can be undone: it is not marked as packed, or is not there, and may be restored.';
-- +goose StatementEnd

-- sql/trim_until.sql
-- +goose StatementBegin
-- -1 is held from the choice of a tid to COMMIT: whoever has the newest tid of
-- before a transaction began has seen the one below, and so does that transaction.
-- Where tids are ahead of the clock, their order tells nothing about who has seen
-- them: nothing is trimmed beside an open transaction. Before RelStorage 3.0 tids are of
-- the clients' clocks, and tell nothing either: what was noted before the oldest
-- transaction began, it has seen. But what vanished is dated by the server's clock, and
-- a client's may be ahead: so its start counts as well.
CREATE OR REPLACE FUNCTION relpack.trim_until(pack_time timestamptz)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_newest bigint;
    v_oldest timestamptz;
    v_now timestamptz;
    v_seen bigint;
BEGIN
    PERFORM relpack.lock_storage(history => true);
    v_newest := (SELECT max(tid) FROM public.transaction);
    IF v_newest IS NULL THEN
        RAISE EXCEPTION 'the storage has no transactions'
            USING ERRCODE = 'RP002', HINT = 'RelStorage keeps one with tid 0: a restore may not have come to an end.';
    END IF;
    IF pack_time IS NULL OR pack_time = 'infinity' THEN
        RETURN v_newest;
    END IF;
    v_oldest := relpack.grace_oldest_transaction();
    v_now := clock_timestamp();
    IF relpack.lock_protocol() = 'table' THEN
        IF v_oldest IS NOT NULL THEN
            v_seen := coalesce((SELECT max(tid) FROM relpack.committed WHERE noted < v_oldest AND tid <= v_newest), 0);
        END IF;
        DELETE FROM relpack.committed
        WHERE noted < (SELECT max(noted) FROM relpack.committed WHERE noted < coalesce(v_oldest, 'infinity'));
        PERFORM relpack.trim_committed();
        RETURN least(v_newest, relpack.time_to_tid(least(pack_time, v_now, v_oldest)), v_seen);
    END IF;
    IF v_oldest IS NOT NULL AND (v_oldest > v_now OR v_newest > relpack.time_to_tid(v_now)) THEN
        RETURN 0;
    END IF;
    RETURN least(
        v_newest,
        relpack.time_to_tid(least(pack_time, v_now)),
        CASE WHEN v_oldest IS NOT NULL THEN coalesce((
            SELECT max(tid)
            FROM public.transaction
            WHERE tid < (SELECT max(tid) FROM public.transaction WHERE tid <= relpack.time_to_tid(v_oldest))), 0)
        END);
END;
$$;

COMMENT ON FUNCTION relpack.trim_until(timestamptz) IS
    'Up to which tid a pack of a history-preserving storage with this pack time trims: not beyond the newest '
    'transaction, nor beyond what the oldest open transaction of other clients has seen. NULL: up to the newest '
    'transaction, whoever reads.';
-- +goose StatementEnd

-- sql/trim_whiteouts.sql
-- +goose StatementBegin
-- Objects that were deleted, or whose creation was undone. A range of blocks at a
-- time: no index tells what has no state. A row that moves meanwhile is the next
-- run's.
CREATE OR REPLACE FUNCTION relpack.trim_whiteouts(
    until_tid bigint, first_block bigint, blocks bigint,
    OUT zoids bigint[], OUT next_block bigint)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET max_parallel_workers_per_gather = 0
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    PERFORM relpack.lock_storage(history => true);
    next_block := first_block + blocks;
    IF next_block > pg_relation_size('public.object_state') / current_setting('block_size')::bigint THEN
        next_block := NULL;
    END IF;
    zoids := ARRAY(
        SELECT stored.zoid
        FROM public.object_state AS stored
        JOIN public.current_object ON current_object.zoid = stored.zoid AND (current_object.tid = stored.tid) IS TRUE
        WHERE stored.state IS NULL
          AND stored.tid <= until_tid
          AND stored.ctid >= format('(%s,0)', first_block)::tid
          AND stored.ctid < format('(%s,0)', first_block + blocks)::tid
          AND NOT EXISTS (
              SELECT FROM public.object_state AS newer WHERE newer.zoid = stored.zoid AND newer.tid > stored.tid)
        ORDER BY stored.zoid);
END;
$$;

COMMENT ON FUNCTION relpack.trim_whiteouts(bigint, bigint, bigint) IS
    'Objects whose newest revision has no state and is not later than until_tid, in so many blocks of object_state; '
    'next_block: where to go on, NULL: that was all.';
-- +goose StatementEnd

-- sql/trim_writers.sql
-- +goose StatementBegin
-- Of a session-level lock without a transaction the last part of virtualtransaction
-- is 0: that is no client's between its vote and its finish. An undo writes to
-- object_state, and has no object's lock; a vote locks objects, by their zoid (3.5 and
-- later) or in current_object.
CREATE OR REPLACE FUNCTION relpack.trim_writers(voted boolean)
RETURNS text[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ARRAY(
        SELECT DISTINCT virtualtransaction
        FROM pg_locks
        WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND granted
          AND pid IS DISTINCT FROM pg_backend_pid()
          AND virtualtransaction NOT LIKE '%/0'
          AND CASE
              WHEN NOT voted THEN
                  locktype = 'relation'
                  AND relation IN ('public.object_state'::regclass, 'public.transaction'::regclass)
                  AND mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
              WHEN locktype = 'advisory' THEN
                  objsubid = 1 AND classid::bigint < 2147483648 AND mode = 'ExclusiveLock'
              ELSE
                  locktype = 'relation' AND relation = 'public.current_object'::regclass
                  AND mode IN ('RowShareLock', 'RowExclusiveLock')
              END);
END;
$$;

COMMENT ON FUNCTION relpack.trim_writers(boolean) IS
    'The other transactions, by virtualtransaction, that write to the storage, among them undos; voted: that have voted, '
    'so that they have locked objects.';
-- +goose StatementEnd

-- sql/trimmed.sql
-- +goose StatementBegin
-- A pack that finds nothing new is to cost what it does where no history is kept: this is
-- asked instead of all that a trim would look at. Time goes on, and the pack time with it:
-- where nothing was written between the last one and this one, the history is trimmed up to
-- this one as well.
CREATE OR REPLACE FUNCTION relpack.trimmed(until_tid bigint)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    v_since bigint;
BEGIN
    PERFORM relpack.trim_held();
    PERFORM relpack.lock_storage(history => true);
    IF (until_tid <= (SELECT max(tid) FROM public.transaction)) IS NOT TRUE THEN
        RAISE EXCEPTION 'transaction % is later than the newest one', coalesce(until_tid::text, 'NULL') USING ERRCODE = 'RP002';
    END IF;
    v_since := relpack.trim_since();
    IF v_since = 0
       OR current_setting('relpack.settling', true) IS DISTINCT FROM 'settled'
       OR EXISTS (SELECT FROM relpack.to_trim)
       OR EXISTS (SELECT FROM relpack.stored() WHERE stored.tid > v_since AND stored.tid <= until_tid)
       OR relpack.trim_undoable(until_tid) THEN
        RETURN false;
    END IF;
    UPDATE relpack.storage
    SET cleared_tid = greatest(cleared_tid, least(until_tid, watermark)),
        marked_tid = relpack.trim_marks(until_tid)
    WHERE cleared_tid < least(until_tid, watermark);
    RETURN true;
END;
$$;

COMMENT ON FUNCTION relpack.trimmed(bigint) IS
    'Whether a trim up to until_tid would find nothing to do. One came to its end, nothing was written between that pack time '
    'and this one, all transactions up to there are marked as packed, and no reason is known to go through all objects '
    '(relpack.trim_since()). Then this counts as relpack.trim_cleared(). Raises RP002 when until_tid is later than the newest '
    'transaction. For the session that holds the pack lock, after relpack.trim_settle().';
-- +goose StatementEnd

-- sql/try_pack_lock.sql
-- +goose StatementBegin
-- Takes, for the session, the locks that keep other packers out. On storages
-- of 3.5 and later that is -2 and nothing else: keys from 0 up are the locks
-- of objects there, and object 1 is usually the application root.
CREATE OR REPLACE FUNCTION relpack.try_pack_lock()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_protocol text := relpack.require_protocol();
BEGIN
    IF NOT pg_try_advisory_lock(-2) THEN
        RETURN false;
    END IF;
    PERFORM set_config('relpack.lock_protocol', v_protocol, false),
            set_config('relpack.settling', '', false);
    -- Lost with the row is whether object_state was replaced, and since when other
    -- storages refer to this one no more: both may have been just now.
    IF NOT EXISTS (SELECT FROM relpack.storage) THEN
        INSERT INTO relpack.storage (keeps_history, replaced, unreferred, emptied, marked_tid)
        VALUES (relpack.keeps_history(), now(), CASE WHEN EXISTS (SELECT FROM relpack.referred_by) THEN now() ELSE '-infinity' END,
                (SELECT count(*) FROM relpack.emptied), -1)
        ON CONFLICT DO NOTHING;
    END IF;
    IF v_protocol = 'advisory' THEN
        RETURN true;
    END IF;
    -- 1: zodbpack before RelStorage 3.5; 23: relstorage_packer.
    IF pg_try_advisory_lock(1) THEN
        IF pg_try_advisory_lock(23) THEN
            RETURN true;
        END IF;
        PERFORM pg_advisory_unlock(1);
    END IF;
    PERFORM pg_advisory_unlock(-2);
    PERFORM set_config('relpack.lock_protocol', '', false);
    RETURN false;
END;
$$;

COMMENT ON FUNCTION relpack.try_pack_lock() IS
    'Takes the pack lock for this session, without waiting; false when another pack runs. '
    'Where relpack.storage has lost its row, it gets another one: the graph is to be built again. '
    'Raises RP002 where RelStorage''s locks are unknown. Release with relpack.release_pack_lock().';
-- +goose StatementEnd

-- sql/try_writers_lock.sql
-- +goose StatementBegin
-- The writers' lock, exclusively, until the transaction ends: no write to
-- object_state is in flight. Tried and never queued for, since a waiting
-- exclusive request makes every later writer wait behind it. With rows locked
-- there is somebody to give way to while we try, and no other lock is waited for.
CREATE OR REPLACE FUNCTION relpack.try_writers_lock(
    patience interval DEFAULT '200 ms', rows_locked boolean DEFAULT false)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_until timestamptz := clock_timestamp() + patience;
BEGIN
    LOOP
        IF pg_try_advisory_xact_lock(1919249520, 1) THEN
            PERFORM relpack.commit_locally();
            RETURN true;
        END IF;
        EXIT WHEN (clock_timestamp() < v_until) IS NOT TRUE;
        IF rows_locked AND relpack.anyone_waits() THEN
            RETURN false;
        END IF;
        PERFORM pg_sleep(0.002);
    END LOOP;
    RETURN NOT rows_locked AND relpack.line_up(patience);
END;
$$;

COMMENT ON FUNCTION relpack.try_writers_lock(interval, boolean) IS
    'Tries for the given time to get the writers'' lock exclusively, until the transaction ends; '
    'then once more by relpack.line_up(), unless rows of object_state are locked. '
    'False: some transaction is writing to object_state all the time; relpack.writer shows them.';
-- +goose StatementEnd

-- sql/unapplied.sql
-- +goose StatementBegin
-- Events and pending objects are few as a rule; commits are found by RelStorage's
-- own index on object_state (tid).
CREATE OR REPLACE FUNCTION relpack.unapplied()
RETURNS SETOF bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    v_applied bigint := (SELECT storage.applied_tid FROM relpack.storage);
BEGIN
    RETURN QUERY
    SELECT stored.zoid
    FROM relpack.stored()
    WHERE stored.tid > v_applied
    UNION
    SELECT write_event.zoid
    FROM relpack.write_event
    WHERE write_event.zoid IS NOT NULL
    UNION
    SELECT pending.zoid
    FROM relpack.pending;
END;
$$;

COMMENT ON FUNCTION relpack.unapplied() IS
    'Objects that were written, restored or deleted since the graph was brought up to date: what the next pack reads. '
    'After a TRUNCATE of object_state more may have changed: see relpack.write_event.';
-- +goose StatementEnd

-- sql/uncurrent.sql
-- +goose StatementBegin
-- Of a history-preserving storage: a client loads the revision that current_object names.
-- Nothing reports what becomes of that table: a dump that was restored without it, or a
-- DELETE, leaves objects that nobody can load; so does a restore that sets one back to
-- before it was created. A chunk of nodes a call, by index. Most are looked at no further:
-- current_object names the revision that the graph knows as the newest.
CREATE OR REPLACE FUNCTION relpack.uncurrent(after bigint, nodes integer, OUT last bigint, OUT zoids bigint[])
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET max_parallel_workers_per_gather = 0
AS $$
BEGIN
    IF NOT relpack.keeps_history() THEN
        RETURN;
    END IF;
    SELECT max(few.zoid), array_agg(few.zoid ORDER BY few.zoid) FILTER (WHERE few.alive AND (named.tid = few.tid) IS NOT TRUE)
    INTO last, zoids
    FROM (
        SELECT object.zoid, object.tid, object.parent IS NOT NULL AS alive
        FROM relpack.object
        WHERE object.zoid > after
        ORDER BY object.zoid
        LIMIT nodes
    ) AS few
    LEFT JOIN public.current_object AS named ON named.zoid = few.zoid;
    IF zoids IS NOT NULL THEN
        zoids := ARRAY(SELECT relpack.uncurrent_of(zoids));
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.uncurrent(bigint, integer) IS
    'Looks at the next so many nodes after a zoid. last: the highest of them, NULL after the last node, or in a '
    'history-free storage. zoids: live objects among them that nobody can load (relpack.uncurrent_of()). NULL or empty: none.';
-- +goose StatementEnd

-- sql/uncurrent_of.sql
-- +goose StatementBegin
-- Each look is one by the primary key. Where the newest revision has no state either, that
-- is told of the state.
CREATE OR REPLACE FUNCTION relpack.uncurrent_of(zoids bigint[])
RETURNS SETOF bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
BEGIN
    RETURN QUERY
    SELECT bare.zoid
    FROM (SELECT DISTINCT unnest(zoids) AS zoid ORDER BY 1) AS bare
    CROSS JOIN LATERAL (
        SELECT stored.state IS NULL AS empty
        FROM relpack.stored()
        WHERE stored.zoid = bare.zoid
        ORDER BY stored.tid DESC
        LIMIT 1
    ) AS newest
    WHERE NOT EXISTS (
        SELECT
        FROM public.current_object AS named
        CROSS JOIN LATERAL (
            SELECT stored.state IS NULL AS empty
            FROM relpack.stored()
            WHERE stored.zoid = named.zoid AND stored.tid BETWEEN named.tid AND named.tid
            OFFSET 0
        ) AS loaded
        WHERE named.zoid = bare.zoid AND (newest.empty OR NOT loaded.empty))
    ORDER BY bare.zoid;
END;
$$;

COMMENT ON FUNCTION relpack.uncurrent_of(bigint[]) IS
    'Of which of these objects revisions are stored, and current_object names none, or one without a state though the '
    'newest has one: whoever loads them gets a POSKeyError.';
-- +goose StatementEnd

-- sql/unnamed_large_object.sql
-- +goose StatementBegin
-- Their sizes are in a table that a superuser may read only, unless it was granted.
CREATE OR REPLACE FUNCTION relpack.unnamed_large_object()
RETURNS SETOF oid
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
AS $$
BEGIN
    IF coalesce(has_table_privilege(to_regclass('public.blob_chunk'), 'SELECT'), false) THEN
        RETURN QUERY
        SELECT known.oid
        FROM pg_largeobject_metadata AS known
        WHERE NOT EXISTS (SELECT FROM public.blob_chunk WHERE blob_chunk.chunk = known.oid);
    END IF;
END;
$$;

COMMENT ON FUNCTION relpack.unnamed_large_object() IS
    'Large objects of this database that no row of blob_chunk names. Another application may use them.';
-- +goose StatementEnd

-- sql/verify.sql
-- +goose StatementBegin
-- Proves, in one snapshot, what relpack has recorded of the storage. Nothing is
-- written, and commits go on: what they changed since the last capture has a
-- higher tid or an event, and is left aside. VOLATILE, and the lock that every
-- SELECT takes first of all: the snapshot of a statement that waited for a
-- TRUNCATE is older than that, and shows the empty table without its event.
CREATE OR REPLACE FUNCTION relpack.verify(
    OUT severity text, OUT finding text, OUT objects bigint, OUT zoids bigint[], OUT remedy text)
RETURNS SETOF record
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
AS $$
DECLARE
    v_storage relpack.storage;
    v_doubt text;
    v_settled boolean;
BEGIN
    LOCK TABLE public.object_state IN ACCESS SHARE MODE;
    v_storage := relpack.known_storage();
    v_doubt := relpack.doubt();
    IF v_storage.graph NOT IN ('current', 'doubtful') THEN
        RETURN QUERY VALUES ('note',
                             CASE v_storage.graph
                             WHEN 'reshaping' THEN 'new parents are being chosen for all objects: there is nothing to verify'
                             ELSE 'the graph is not built yet: there is nothing to verify'
                             END,
                             NULL::bigint, NULL::bigint[], 'relpack pack --dry-run');
        RETURN;
    END IF;
    v_settled := NOT EXISTS (SELECT FROM relpack.suspect);
    RETURN QUERY
    WITH found (kind, zoid) AS (
        -- Rows above listed_tid are the next capture's.
        SELECT 'other_than_stored', coalesce(stored.zoid, object.zoid)
        FROM (
            SELECT one.zoid, one.tid FROM relpack.stored() AS one WHERE NOT v_storage.keeps_history
            UNION ALL
            -- Of several revisions the graph has the newest tid.
            SELECT several.zoid, max(several.tid) FROM relpack.stored() AS several WHERE v_storage.keeps_history GROUP BY several.zoid
        ) AS stored (zoid, tid)
        FULL JOIN relpack.object ON object.zoid = stored.zoid
        LEFT JOIN relpack.missing ON missing.zoid = object.zoid
        WHERE CASE WHEN missing.zoid IS NULL THEN stored.tid IS DISTINCT FROM object.tid ELSE stored.tid IS NOT NULL END
          AND (stored.tid IS NULL OR stored.tid <= v_storage.listed_tid)
          AND v_doubt IS NULL
          AND NOT EXISTS (SELECT FROM relpack.pending WHERE pending.zoid = coalesce(stored.zoid, object.zoid))
          AND NOT EXISTS (SELECT FROM relpack.write_event
                          WHERE write_event.zoid = coalesce(stored.zoid, object.zoid)
                             OR write_event.kind = 'truncated')
        UNION ALL
        SELECT 'missing', lost.zoid
        FROM relpack.missing_object AS lost
        WHERE v_settled
          AND NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = lost.zoid)
        UNION ALL
        SELECT 'dangling', edge.zoid
        FROM (SELECT DISTINCT object_inref.zoid
              FROM relpack.object_inref
              JOIN relpack.object AS referrer ON referrer.zoid = object_inref.inref
              WHERE v_settled AND referrer.parent IS NOT NULL) AS edge
        LEFT JOIN relpack.object ON object.zoid = edge.zoid
        WHERE object.zoid IS NULL
          AND NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = edge.zoid)
        UNION ALL
        SELECT 'uncurrent', unnest(bare.zoids)
        FROM relpack.uncurrent(-1, 2147483647) AS bare
        WHERE v_settled
        UNION ALL
        SELECT 'blob_without_large_object', broken.zoid
        FROM relpack.broken_blobs() AS broken (zoid)
        WHERE v_settled
    ), numbered AS (
        SELECT found.kind, found.zoid,
               row_number() OVER (PARTITION BY found.kind ORDER BY found.zoid) AS place
        FROM found
    ), counted (kind, objects, zoids) AS (
        SELECT graph.kind, graph.objects, graph.zoids
        FROM relpack.verify_graph() AS graph
        UNION ALL
        SELECT numbered.kind, count(*),
               array_agg(numbered.zoid ORDER BY numbered.zoid) FILTER (WHERE numbered.place <= 10)
        FROM numbered
        GROUP BY numbered.kind
        UNION ALL
        SELECT 'doubt', NULL, NULL
        WHERE v_doubt IS NOT NULL
    )
    SELECT known.severity, known.meaning, counted.objects, counted.zoids, known.remedy
    FROM counted
    JOIN relpack.finding_kind AS known ON known.kind = counted.kind
    ORDER BY known.severity, known.meaning;
END;
$$;

COMMENT ON FUNCTION relpack.verify() IS
    'Checks the graph against itself and against the tids in object_state. '
    'A row per kind of finding, with how many objects it concerns and up to ten of them; no row: sound. '
    'severity error: the graph is wrong, nothing should be deleted before it is mended; damage: the graph is right, '
    'the storage is not: live objects that have no state or can''t be decoded, or that refer to what is not stored; '
    'note: worth knowing, not wrong: work that a run has left open. '
    'Reads everything once and writes nothing; states are not decoded ("relpack verify" does that).';
-- +goose StatementEnd

-- sql/verify_blobs.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.verify_blobs(
    after bigint, nodes integer,
    OUT last bigint, OUT zoids bigint[], OUT tids bigint[])
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET max_parallel_workers_per_gather = 0
AS $$
BEGIN
    PERFORM relpack.lock_storage();
    SELECT max(few.zoid), array_agg(few.zoid) FILTER (WHERE few.live)
    INTO last, zoids
    FROM (
        SELECT object.zoid, object.class = 1 AND object.parent IS NOT NULL AS live
        FROM relpack.object
        WHERE object.zoid > after
        ORDER BY object.zoid
        LIMIT nodes
    ) AS few;
    SELECT array_agg(stored.zoid ORDER BY stored.zoid, stored.tid DESC), array_agg(stored.tid ORDER BY stored.zoid, stored.tid DESC)
    INTO zoids, tids
    FROM unnest(zoids) AS blob (zoid)
    CROSS JOIN LATERAL (
        SELECT octet_length(newest.state) > 0 AS has_state
        FROM relpack.stored() AS newest
        WHERE newest.zoid = blob.zoid
        ORDER BY newest.tid DESC
        LIMIT 1
    ) AS loaded
    CROSS JOIN LATERAL (
        SELECT stored.zoid, stored.tid
        FROM relpack.stored()
        WHERE stored.zoid = blob.zoid AND octet_length(stored.state) > 0
        OFFSET 0
    ) AS stored
    WHERE loaded.has_state;
END;
$$;

COMMENT ON FUNCTION relpack.verify_blobs(bigint, integer) IS
    'Step of "relpack verify": the reachable blobs among the next so many nodes after a zoid, with their stored tids, '
    'whose files must be in the blob directory, of each the newest first, but for what was deleted; '
    'last: the highest of these nodes, NULL after the last one.';
-- +goose StatementEnd

-- sql/verify_foreign.sql
-- +goose StatementBegin
-- References to other databases of states as "relpack verify" read them, against
-- what is recorded; see relpack.verify_states().
CREATE OR REPLACE FUNCTION relpack.verify_foreign(zoids bigint[], inrefs bigint[], far bigint[], databases text[])
RETURNS SETOF bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_mergejoin = off
SET enable_seqscan = off
SET work_mem = '64MB'
AS $$
BEGIN
    IF coalesce(cardinality(inrefs), 0) = 0 AND NOT EXISTS (SELECT FROM relpack.foreign_reference) THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH recorded AS (
        SELECT reference.inref, reference.zoid, reference.database
        FROM unnest(zoids) AS state (zoid)
        CROSS JOIN LATERAL (
            SELECT foreign_reference.inref, foreign_reference.zoid, foreign_reference.database
            FROM relpack.foreign_reference
            WHERE foreign_reference.inref = state.zoid
            OFFSET 0
        ) AS reference
    ), decoded AS (
        SELECT DISTINCT reference.inref, reference.zoid, reference.database COLLATE "C" AS database
        FROM unnest(inrefs, far, databases) AS reference (inref, zoid, database)
    ), other AS (
        SELECT DISTINCT coalesce(decoded.inref, recorded.inref) AS zoid
        FROM decoded
        FULL JOIN recorded
            ON recorded.inref = decoded.inref AND recorded.zoid = decoded.zoid AND recorded.database = decoded.database
        WHERE decoded.inref IS NULL OR recorded.inref IS NULL
    )
    SELECT other.zoid
    FROM other
    LEFT JOIN LATERAL (
        SELECT pending.zoid
        FROM relpack.pending
        WHERE pending.zoid = other.zoid
        OFFSET 0
    ) AS awaited ON true
    WHERE awaited.zoid IS NULL
      AND NOT EXISTS (SELECT FROM relpack.write_event WHERE write_event.zoid = other.zoid);
END;
$$;

COMMENT ON FUNCTION relpack.verify_foreign(bigint[], bigint[], bigint[], text[]) IS
    'Step of "relpack verify": those of these objects (zoids) whose references to other databases, as read and '
    'decoded (inrefs refer to far in databases), are not what is recorded.';
-- +goose StatementEnd

-- sql/verify_graph.sql
-- +goose StatementBegin
-- The graph against itself. It reads relpack's tables only, so that nobody who
-- wants object_state for himself (TRUNCATE, VACUUM FULL) waits for it. Edges,
-- nodes and what is open are changed together, so that they agree even in the
-- middle of a run; who is reachable is known at its end only. Statements are
-- set-based and spill to disk: memory stays bounded. Never in a loop, whatever the planner
-- believes of how many are reachable: a graph may be analyzed before that is known.
CREATE OR REPLACE FUNCTION relpack.verify_graph(OUT kind text, OUT objects bigint, OUT zoids bigint[])
RETURNS SETOF record
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off
SET work_mem = '64MB'
AS $$
DECLARE
    v_storage relpack.storage;
    v_settled boolean;
BEGIN
    v_storage := relpack.known_storage();
    v_settled := NOT EXISTS (SELECT FROM relpack.suspect) AND v_storage.graph <> 'reshaping';
    RETURN QUERY
    WITH found (kind, zoid) AS (
        SELECT 'no_root', 0
        -- After a first build that was disturbed it may have to be read yet.
        WHERE CASE WHEN EXISTS (SELECT FROM relpack.object WHERE object.zoid = 0)
                   THEN NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = 0 AND object.parent = 0)
                   ELSE v_storage.settled_tid > 0 END
        UNION ALL
        SELECT 'parent_without_reference', child.zoid
        FROM relpack.object AS child
        WHERE child.parent IS NOT NULL
          AND child.zoid <> 0
          AND NOT EXISTS (SELECT FROM relpack.object_inref AS edge
                          WHERE edge.zoid = child.zoid AND edge.inref = child.parent)
        UNION ALL
        SELECT 'attached_with_detached_tid', object.zoid
        FROM relpack.object
        WHERE object.parent IS NOT NULL AND object.detached_tid IS NOT NULL
        UNION ALL
        SELECT 'parent_detached', child.zoid
        FROM relpack.object AS child
        LEFT JOIN relpack.object AS parent ON parent.zoid = child.parent
        WHERE v_settled AND child.parent IS NOT NULL AND parent.parent IS NULL
        UNION ALL
        SELECT 'parents_in_a_circle', object.zoid
        FROM relpack.object
        LEFT JOIN relpack.verify_tree() AS tree (zoid) ON tree.zoid = object.zoid
        WHERE v_settled AND object.parent IS NOT NULL AND tree.zoid IS NULL
        UNION ALL
        SELECT 'live_but_detached', child.zoid
        FROM relpack.object AS child
        WHERE v_settled
          AND child.parent IS NULL
          AND EXISTS (SELECT
                      FROM relpack.object_inref AS edge
                      JOIN relpack.object AS referrer ON referrer.zoid = edge.inref
                      WHERE edge.zoid = child.zoid AND referrer.parent IS NOT NULL)
        UNION ALL
        SELECT 'referrer_is_no_node', edge.inref
        FROM (SELECT DISTINCT object_inref.inref FROM relpack.object_inref) AS edge
        LEFT JOIN relpack.object ON object.zoid = edge.inref
        WHERE object.zoid IS NULL
        UNION ALL
        SELECT 'work_for_no_node', orphan.zoid
        FROM (SELECT suspect.zoid FROM relpack.suspect
              UNION ALL
              SELECT doomed.zoid FROM relpack.doomed
              UNION ALL
              SELECT missing.zoid FROM relpack.missing
              UNION ALL
              SELECT problem.zoid FROM relpack.problem) AS orphan
        LEFT JOIN relpack.object ON object.zoid = orphan.zoid
        WHERE object.zoid IS NULL
        UNION ALL
        SELECT CASE WHEN problem.blocks THEN 'undecodable' ELSE 'empty' END, problem.zoid
        FROM relpack.problem
        JOIN relpack.object ON object.zoid = problem.zoid
        WHERE v_settled AND object.parent IS NOT NULL AND (problem.blocks
               -- Of a history-preserving storage old revisions may refer to what was undone since.
               OR problem.kind = 'empty' AND NOT EXISTS (SELECT FROM relpack.storage WHERE keeps_history))
        UNION ALL
        SELECT 'live_but_doomed', doomed.zoid
        FROM relpack.doomed
        JOIN relpack.object ON object.zoid = doomed.zoid
        WHERE v_settled AND object.parent IS NOT NULL AND v_storage.doomed_tid = v_storage.applied_tid
    ), numbered AS (
        SELECT found.kind, found.zoid,
               row_number() OVER (PARTITION BY found.kind ORDER BY found.zoid) AS place
        FROM found
    )
    SELECT numbered.kind, count(*),
           array_agg(numbered.zoid ORDER BY numbered.zoid) FILTER (WHERE numbered.place <= 10)
    FROM numbered
    GROUP BY numbered.kind
    UNION ALL
    SELECT 'objects_miscounted', abs(v_storage.objects - counted.objects), NULL
    FROM (SELECT count(*) AS objects FROM relpack.object) AS counted
    WHERE counted.objects <> v_storage.objects
    UNION ALL
    SELECT 'references_miscounted', abs(v_storage.inrefs - counted.inrefs), NULL
    FROM (SELECT count(*) AS inrefs FROM relpack.object_inref) AS counted
    WHERE counted.inrefs <> v_storage.inrefs
    UNION ALL
    SELECT 'unfinished', (SELECT count(*) FROM relpack.suspect), NULL
    WHERE NOT v_settled;
END;
$$;

COMMENT ON FUNCTION relpack.verify_graph() IS
    'Step of relpack.verify() and "relpack verify": checks the graph against itself; '
    'a row per kind of finding (relpack.finding_kind), with how many objects it concerns and up to ten of them.';
-- +goose StatementEnd

-- sql/verify_mend.sql
-- +goose StatementBegin
-- Makes the tree one again, whatever it has become: what does not hang on the
-- root by parents that refer to their children is detached, and relpack.reach()
-- decides about it. Comes after relpack.apply(), so that the references are
-- what is stored.
CREATE OR REPLACE FUNCTION relpack.verify_mend()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET work_mem = '64MB'
AS $$
DECLARE
    v_now bigint;
    v_detached bigint;
BEGIN
    PERFORM relpack.require_pack_lock();
    IF EXISTS (SELECT FROM relpack.suspect WHERE stage NOT IN ('climb', 'flow'))
       OR EXISTS (SELECT FROM relpack.pending) THEN
        RAISE EXCEPTION 'only a graph that is up to date can be mended' USING ERRCODE = 'RP002', HINT = 'Run "relpack pack".';
    END IF;
    IF EXISTS (
        SELECT
        FROM relpack.missing
        WHERE NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = missing.zoid)) THEN
        RAISE EXCEPTION 'the graph is lost: nobody can tell from the storage what hung on missing objects'
            USING ERRCODE = 'RP002', HINT = 'Run "relpack pack": it builds the graph again, or names these objects.';
    END IF;
    -- Nobody knows when that was cut off: its grace begins now.
    UPDATE relpack.storage
    SET noticed_tid = greatest(noticed_tid, relpack.time_to_tid(clock_timestamp()))
    RETURNING detach_tid INTO STRICT v_now;
    DELETE FROM relpack.object_inref
    WHERE NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = object_inref.inref);
    PERFORM relpack.count_dangling();
    DELETE FROM relpack.suspect
    WHERE NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = suspect.zoid);
    DELETE FROM relpack.doomed
    WHERE NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = doomed.zoid);
    DELETE FROM relpack.problem
    WHERE NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = problem.zoid);
    DELETE FROM relpack.foreign_reference
    WHERE NOT EXISTS (SELECT FROM relpack.object WHERE object.zoid = foreign_reference.inref);

    UPDATE relpack.object
    SET parent = 0
    WHERE zoid = 0 AND parent IS DISTINCT FROM 0;
    UPDATE relpack.object
    SET detached_tid = NULL
    WHERE parent IS NOT NULL AND detached_tid IS NOT NULL;
    WITH detached AS (
        UPDATE relpack.object
        SET parent = NULL, detached_tid = v_now
        WHERE parent IS NOT NULL
          AND NOT EXISTS (SELECT FROM relpack.verify_tree() AS tree (zoid) WHERE tree.zoid = object.zoid)
        RETURNING zoid
    )
    INSERT INTO relpack.suspect (zoid, stage)
    SELECT zoid, 'climb' FROM detached
    ON CONFLICT (zoid) DO UPDATE SET stage = excluded.stage;
    GET DIAGNOSTICS v_detached = ROW_COUNT;
    INSERT INTO relpack.suspect (zoid, stage)
    SELECT child.zoid, 'climb'
    FROM relpack.object AS child
    WHERE child.parent IS NULL
      AND EXISTS (SELECT
                  FROM relpack.object_inref AS edge
                  JOIN relpack.object AS referrer ON referrer.zoid = edge.inref
                  WHERE edge.zoid = child.zoid AND referrer.parent IS NOT NULL)
    ON CONFLICT DO NOTHING;

    UPDATE relpack.storage
    SET objects = (SELECT count(*) FROM relpack.object),
        inrefs = (SELECT count(*) FROM relpack.object_inref),
        doomed_tid = 0;
    RETURN v_detached;
END;
$$;

COMMENT ON FUNCTION relpack.verify_mend() IS
    'Step of "relpack verify --repair": detaches what does not hang on the root, for relpack.reach() to decide, '
    'forgets what names no node, and counts again; returns how many it detached.';
-- +goose StatementEnd

-- sql/verify_nodes.sql
-- +goose StatementBegin
-- What reading states doesn't show: nodes whose object is not stored any more,
-- and references to what never was. A chunk of nodes a call, by index.
CREATE OR REPLACE FUNCTION relpack.verify_nodes(
    after bigint, nodes integer,
    OUT last bigint, OUT missing bigint[], OUT dangling bigint, OUT dangling_zoids bigint[])
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET max_parallel_workers_per_gather = 0
AS $$
BEGIN
    PERFORM relpack.lock_storage();
    SELECT max(few.zoid), array_agg(few.zoid) FILTER (WHERE few.gone)
    INTO last, missing
    FROM (
        SELECT object.zoid,
               NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = object.zoid)
               AND NOT EXISTS (SELECT FROM relpack.missing WHERE missing.zoid = object.zoid) AS gone
        FROM relpack.object
        WHERE object.zoid > after
        ORDER BY object.zoid
        LIMIT nodes
    ) AS few;
    IF missing IS NOT NULL THEN
        -- Sorted or hashed, but never in a loop: there may be many of both.
        SELECT array_agg(gone.zoid)
        INTO missing
        FROM (
            SELECT unnest(missing) AS zoid
            EXCEPT
            SELECT event.zoid FROM relpack.write_event AS event
        ) AS gone
        LEFT JOIN LATERAL (
            SELECT pending.zoid
            FROM relpack.pending
            WHERE pending.zoid = gone.zoid
            OFFSET 0
        ) AS awaited ON true
        WHERE awaited.zoid IS NULL
          AND NOT EXISTS (SELECT FROM relpack.write_event AS event WHERE event.kind = 'truncated');
    END IF;
    IF EXISTS (SELECT FROM relpack.suspect) THEN
        RETURN;
    END IF;
    SELECT count(*), (array_agg(edge.zoid ORDER BY edge.zoid))[:10]
    INTO dangling, dangling_zoids
    FROM (
        SELECT DISTINCT object_inref.zoid
        FROM relpack.object_inref
        WHERE object_inref.zoid > after AND (last IS NULL OR object_inref.zoid <= last)
    ) AS edge
    LEFT JOIN LATERAL (
        SELECT object.zoid
        FROM relpack.object
        WHERE object.zoid = edge.zoid
        OFFSET 0
    ) AS node ON true
    WHERE node.zoid IS NULL
      AND NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = edge.zoid)
      AND EXISTS (SELECT
                  FROM relpack.object_inref AS reference
                  JOIN relpack.object AS referrer ON referrer.zoid = reference.inref
                  WHERE reference.zoid = edge.zoid AND referrer.parent IS NOT NULL
                  OFFSET 0); -- else all edges are joined with all, where statistics know of no live object
END;
$$;

COMMENT ON FUNCTION relpack.verify_nodes(bigint, integer) IS
    'Step of "relpack verify": looks at the next so many nodes after a zoid. '
    'last: the highest of them, NULL after the last node. '
    'missing: those that are not stored, though nothing reported their deletion (nor relpack.missing has them). '
    'dangling, dangling_zoids: how many zoids up to there are referred to by live objects and not stored, and ten of '
    'them.';
-- +goose StatementEnd

-- sql/verify_states.sql
-- +goose StatementBegin
-- States as "relpack verify" read and decoded them a moment ago, against what
-- is recorded. They must be of one snapshot, and not above listed_tid: what
-- is stored then, and is not what the graph was made from, has left an event
-- or is in pending; both are visible by now, and such objects are left aside.
-- A salvaged record is read again by each pack that finds a new object, so that
-- its references need no comparison: their refs are left out. A chunk is small
-- beside the graph: what is known of it is looked up by index, one by one
-- (LATERAL), and nothing else is joined in a loop: no estimate can make a chunk
-- quadratic.
CREATE OR REPLACE FUNCTION relpack.verify_states(
    zoids bigint[], tids bigint[], classes integer[], problems text[], refs bigint[], inrefs bigint[])
RETURNS TABLE (kind text, zoid bigint)
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_mergejoin = off
SET enable_nestloop = off
SET enable_seqscan = off
SET work_mem = '64MB'
AS $$
    WITH judged AS (
        SELECT state.zoid, state.problem,
               CASE
                   WHEN node.tid IS DISTINCT FROM state.tid THEN 'other_than_stored'
                   WHEN EXISTS (SELECT FROM relpack.missing WHERE missing.zoid = state.zoid) THEN 'other_than_stored'
                   WHEN listed.kind IS DISTINCT FROM nullif(state.problem, '') THEN 'other_problem'
                   WHEN node.class <> state.class THEN 'other_class'
               END AS kind
        FROM unnest(zoids, tids, classes, problems) AS state (zoid, tid, class, problem)
        LEFT JOIN LATERAL (
            SELECT object.tid, object.class
            FROM relpack.object
            WHERE object.zoid = state.zoid
            OFFSET 0
        ) AS node ON true
        LEFT JOIN LATERAL (
            SELECT problem.kind
            FROM relpack.problem
            WHERE problem.zoid = state.zoid
            OFFSET 0
        ) AS listed ON true
    ), recorded AS (
        SELECT edge.zoid, edge.inref
        FROM judged
        CROSS JOIN LATERAL (
            SELECT object_inref.zoid, object_inref.inref
            FROM relpack.object_inref
            WHERE object_inref.inref = judged.zoid
            OFFSET 0
        ) AS edge
        WHERE judged.problem <> 'salvaged'
    ), found AS (
        SELECT judged.zoid, judged.kind, 1 AS place
        FROM judged
        WHERE judged.kind IS NOT NULL
        UNION ALL
        SELECT coalesce(decoded.inref, recorded.inref), 'other_references', 2
        FROM unnest(refs, inrefs) AS decoded (zoid, inref)
        FULL JOIN recorded ON recorded.zoid = decoded.zoid AND recorded.inref = decoded.inref
        WHERE decoded.inref IS NULL OR recorded.inref IS NULL
    ), foremost AS (
        SELECT DISTINCT ON (found.zoid) found.zoid, found.kind
        FROM found
        ORDER BY found.zoid, found.place
    )
    SELECT foremost.kind, foremost.zoid
    FROM foremost
    LEFT JOIN LATERAL (
        SELECT pending.zoid
        FROM relpack.pending
        WHERE pending.zoid = foremost.zoid
        OFFSET 0
    ) AS awaited ON true
    WHERE awaited.zoid IS NULL
      AND NOT EXISTS (SELECT FROM relpack.write_event WHERE write_event.zoid = foremost.zoid);
$$;

COMMENT ON FUNCTION relpack.verify_states(bigint[], bigint[], integer[], text[], bigint[], bigint[]) IS
    'Step of "relpack verify": objects whose state, as read (zoids, tids, classes, problems: '''', salvaged, opaque '
    'or empty) and decoded (inrefs refer to refs; none for the salvaged), is not what the graph records.';
-- +goose StatementEnd

-- sql/verify_tree.sql
-- +goose StatementBegin
-- Every object that hangs on the root by parents. No step keeps more than the
-- last level in memory, which spills to disk beyond work_mem, and each object
-- costs an index lookup however deep it lies: hash joins would read the whole
-- graph once a level. PL/pgSQL keeps the plan from one call to the next.
CREATE OR REPLACE FUNCTION relpack.verify_tree()
RETURNS SETOF bigint
LANGUAGE plpgsql
STABLE
ROWS 1000000
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_nestloop = on
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
AS $$
BEGIN
    RETURN QUERY
    WITH RECURSIVE tree (zoid) AS (
        SELECT zoid FROM relpack.object WHERE zoid = 0 AND parent = 0
        UNION ALL
        SELECT object.zoid
        FROM tree
        JOIN relpack.object_inref ON object_inref.inref = tree.zoid
        JOIN relpack.object ON object.zoid = object_inref.zoid
        WHERE object.parent = tree.zoid AND object.zoid <> 0
    )
    SELECT tree.zoid FROM tree;
END;
$$;

COMMENT ON FUNCTION relpack.verify_tree() IS
    'Step of relpack.verify(): the objects whose parents lead to the root, found by walking down from it.';
-- +goose StatementEnd

-- sql/walk_limits.sql
-- +goose StatementBegin
-- Sizes at which one way of doing something gives way to another, in one place
-- so that a test can draw them small and send a handful of objects down every
-- path. A walk must be longer than a narrow frontier, or it could end where it
-- began. STABLE, not IMMUTABLE: plans must not keep what a test replaces.
CREATE OR REPLACE FUNCTION relpack.walk_limits(
    OUT narrow bigint, OUT walk bigint, OUT together bigint,
    OUT climb_inrefs bigint, OUT climb_visits bigint, OUT reshape_share bigint, OUT reshape_least bigint,
    OUT grow_zoids bigint, OUT grow_levels bigint, OUT grow_wide bigint)
LANGUAGE sql
STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 1000, 100000, 50000,
           64, 1000000, 24, 10000,
           67108864, 255, 32;
$$;

COMMENT ON FUNCTION relpack.walk_limits() IS
    'Sizes at which one way of doing something gives way to another. '
    'narrow: up to so many objects go many levels in one recursive query, more go level by level; walk: where such a '
    'query stops; together: suspects looked at together. '
    'climb_inrefs: how many referrers of each are tried first; climb_visits: how many objects relpack.ways_up() looks '
    'at, or gives up. '
    'reshape_share, reshape_least: of what share of all objects, one in so many, the way up may be looked for and the '
    'parents be cut off together, and of how many in any case, before relpack.reshape() chooses all parents. '
    'grow_zoids: for how many objects relpack.build_mark() has a byte each; grow_levels: what such a byte says at '
    'most; grow_wide: a level of more objects than the references divided by this reads all of them.';
-- +goose StatementEnd

-- sql/ways_ends.sql
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION relpack.ways_ends(up integer[], OUT ends integer[], OUT depths integer[])
LANGUAGE plpgsql
IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_from integer;
    v_base integer;
    j integer;
    k integer;
BEGIN
    ends := array_fill(0, ARRAY[cardinality(up)]);
    depths := ends;
    FOR i IN 1 .. cardinality(up) LOOP
        -- Up to what is known, and down again with what follows from that.
        j := i;
        k := 0;
        WHILE ends[j] = 0 LOOP
            IF up[j] IS NULL THEN
                ends[j] := j;
            ELSE
                j := up[j];
                k := k + 1;
                IF k > cardinality(up) THEN
                    -- Parents form a circle.
                    ends := NULL;
                    RETURN;
                END IF;
            END IF;
        END LOOP;
        v_from := ends[j];
        v_base := depths[j];
        j := i;
        FOR k IN REVERSE v_base + k .. v_base + 1 LOOP
            ends[j] := v_from;
            depths[j] := k;
            j := up[j];
        END LOOP;
    END LOOP;
END;
$$;

COMMENT ON FUNCTION relpack.ways_ends(integer[]) IS
    'Step of relpack.ways_up(): where the way from each place ends, and how far up that is. '
    'up: the place above each; NULL: a way ends here. ends is NULL where some way goes round in a circle.';
-- +goose StatementEnd

-- sql/ways_up.sql
-- +goose StatementBegin
-- For detached objects, each with the tree that hangs on it, all at once: which
-- of them have a referrer whose parents lead to the root. A way ends at the root or
-- at another detached object; where that is one of those asked about and is saved
-- by something else, it goes on from there.
--
-- Those saved are settled in a queue from the root on. One may hang on what has
-- left the queue, and may change to a shallower parent while it is in it: so a
-- parent never hangs on its child.
--
-- Arrays are joined by hash, other than in the rest of relpack.reach_step(): in a
-- loop that would be quadratic.
CREATE OR REPLACE FUNCTION relpack.ways_up(
    asked bigint[], tries bigint, most bigint,
    OUT saved bigint[], OUT parents bigint[], OUT visited bigint)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = on
SET enable_nestloop = off
SET work_mem = '64kB'
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_suspects bigint[];
    v_tried_for integer[];      -- place among the suspects, of each referrer
    v_tried bigint[];
    v_zoids bigint[];           -- the referrers and all above them
    v_above bigint[];
    v_up integer[];             -- place of the parent; NULL: the way ends here
    v_place integer[];          -- of each suspect on the ways
    v_end integer[];            -- where a way ends
    v_depth integer[];          -- and how far up that is
    v_for integer[];            -- the referrers again, sorted by where their way ends
    v_referrer bigint[];
    v_referrer_end integer[];
    v_referrer_depth integer[];
    v_first integer[];          -- the first of those that end here
    v_root integer;
    v_queue integer[] := '{0}'::integer[];
    v_next integer := 1;
    v_parent bigint[];
    v_parent_depth integer[];
    v_over boolean[];
    v_from integer;
    v_base integer;
    i integer;
    j integer;
    k integer;
BEGIN
    SELECT walked.suspects, walked.tried_for, walked.tried, walked.zoids, walked.above, walked.visited
    INTO v_suspects, v_tried_for, v_tried, v_zoids, v_above, visited
    FROM relpack.ways_walk(asked, tries, most) AS walked;
    IF visited >= most OR visited = 0 THEN
        RETURN;
    END IF;

    PERFORM set_config('work_mem', '16MB', true);
    SELECT array_agg(above.place ORDER BY way.place), min(way.place) FILTER (WHERE way.zoid = 0)
    INTO v_up, v_root
    FROM unnest(v_zoids, v_above) WITH ORDINALITY AS way (zoid, parent, place)
    LEFT JOIN unnest(v_zoids) WITH ORDINALITY AS above (zoid, place) ON above.zoid = way.parent AND way.zoid <> 0;
    SELECT coalesce(array_agg(way.place ORDER BY suspect.place), '{}')
    INTO v_place
    FROM unnest(v_suspects) WITH ORDINALITY AS suspect (zoid, place)
    LEFT JOIN unnest(v_zoids) WITH ORDINALITY AS way (zoid, place) ON way.zoid = suspect.zoid;
    SELECT ways.ends, ways.depths INTO v_end, v_depth FROM relpack.ways_ends(v_up) AS ways;
    IF v_end IS NULL THEN
        -- The tree is damaged.
        visited := most;
        RETURN;
    END IF;
    SELECT coalesce(array_agg(referrer.place ORDER BY way_end, depth), '{}'),
           coalesce(array_agg(referrer.zoid ORDER BY way_end, depth), '{}'),
           coalesce(array_agg(way_end ORDER BY way_end, depth), '{}'), coalesce(array_agg(depth ORDER BY way_end, depth), '{}')
    INTO v_for, v_referrer, v_referrer_end, v_referrer_depth
    FROM unnest(v_tried_for, v_tried) AS referrer (place, zoid)
    JOIN unnest(v_zoids, v_end, v_depth) AS way (zoid, way_end, depth) ON way.zoid = referrer.zoid;
    v_first := array_fill(0, ARRAY[visited::integer]);
    FOR i IN REVERSE cardinality(v_for) .. 1 LOOP
        v_first[v_referrer_end[i]] := i;
    END LOOP;

    v_parent := array_fill(NULL::bigint, ARRAY[cardinality(v_suspects)]);
    v_parent_depth := array_fill(NULL::integer, ARRAY[cardinality(v_suspects)]);
    v_over := array_fill(false, ARRAY[cardinality(v_suspects)]);
    WHILE v_next <= cardinality(v_queue) LOOP
        v_from := v_queue[v_next];
        v_next := v_next + 1;
        IF v_from = 0 THEN
            k := v_root;
            v_base := 0;
        ELSE
            v_over[v_from] := true;
            k := v_place[v_from];
            v_base := v_parent_depth[v_from] + 1;
        END IF;
        CONTINUE WHEN k IS NULL;
        i := v_first[k];
        WHILE i > 0 AND v_referrer_end[i] = k LOOP
            j := v_for[i];
            IF v_parent[j] IS NULL THEN
                v_queue := v_queue || j;
                v_parent[j] := v_referrer[i];
                v_parent_depth[j] := v_base + v_referrer_depth[i];
            ELSIF NOT v_over[j] AND v_base + v_referrer_depth[i] < v_parent_depth[j] THEN
                v_parent[j] := v_referrer[i];
                v_parent_depth[j] := v_base + v_referrer_depth[i];
            END IF;
            i := i + 1;
        END LOOP;
    END LOOP;
    SELECT array_agg(suspect.zoid), array_agg(suspect.parent)
    INTO saved, parents
    FROM unnest(v_suspects, v_parent) AS suspect (zoid, parent)
    WHERE suspect.parent IS NOT NULL;
END;
$$;

COMMENT ON FUNCTION relpack.ways_up(bigint[], bigint, bigint) IS
    'Step of relpack.reach_climb() and relpack.reach_attach(): which of some detached objects hang on the root by a '
    'referrer. '
    'Of so many referrers of each (NULL: all) the shallowest that does becomes the parent. '
    'visited: how many objects were looked at: with "most" of them it gave up, and nothing is said.';
-- +goose StatementEnd

-- sql/ways_walk.sql
-- +goose StatementBegin
-- The ways up of many referrers run together, and each object on them is visited
-- once, however long they are. The recursive query holds what it visits in memory,
-- and begins with a hash table as large as work_mem (see relpack.reach_flow_deep());
-- hence the bound. Called with the settings of relpack.ways_up().
CREATE OR REPLACE FUNCTION relpack.ways_walk(
    asked bigint[], tries bigint, most bigint,
    OUT suspects bigint[], OUT tried_for integer[], OUT tried bigint[],
    OUT zoids bigint[], OUT above bigint[], OUT visited bigint)
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT coalesce(array_agg(suspect.zoid), '{}')
    INTO suspects
    FROM unnest(asked) AS suspect (zoid)
    CROSS JOIN LATERAL (
        SELECT FROM relpack.object WHERE zoid = suspect.zoid AND parent IS NULL OFFSET 0
    ) AS detached;
    SELECT coalesce(array_agg(hanging.place), '{}'), coalesce(array_agg(hanging.inref), '{}')
    INTO tried_for, tried
    FROM (
        SELECT suspect.place::integer, referrer.inref
        FROM unnest(suspects) WITH ORDINALITY AS suspect (zoid, place)
        CROSS JOIN LATERAL (
            SELECT inref
            FROM relpack.object_inref
            WHERE object_inref.zoid = suspect.zoid AND inref <> suspect.zoid
            ORDER BY inref
            LIMIT tries
        ) AS referrer
        CROSS JOIN LATERAL (
            SELECT
            FROM relpack.object
            WHERE object.zoid = referrer.inref
              AND (object.parent <> suspect.zoid
                   OR object.parent IS NULL AND (object.zoid IN (SELECT unnest(suspects))) IS TRUE)
            OFFSET 0
        ) AS attached
        LIMIT most
    ) AS hanging;
    visited := cardinality(tried);
    IF visited >= most OR visited = 0 THEN
        RETURN;
    END IF;
    WITH RECURSIVE way (zoid, parent) AS (
        SELECT object.zoid, object.parent
        FROM unnest(tried) AS referrer (zoid)
        CROSS JOIN LATERAL (SELECT zoid, parent FROM relpack.object WHERE zoid = referrer.zoid OFFSET 0) AS object
        UNION
        SELECT object.zoid, object.parent
        FROM way
        CROSS JOIN LATERAL (SELECT zoid, parent FROM relpack.object WHERE zoid = way.parent OFFSET 0) AS object
    )
    SELECT coalesce(array_agg(zoid), '{}'), coalesce(array_agg(parent), '{}')
    INTO zoids, above
    FROM (SELECT zoid, parent FROM way LIMIT most) AS bounded;
    visited := cardinality(zoids);
END;
$$;

COMMENT ON FUNCTION relpack.ways_walk(bigint[], bigint, bigint) IS
    'Step of relpack.ways_up(): the referrers of detached objects, and all that is above these in the tree. '
    'suspects: those of the objects that are detached. tried: so many referrers of each; tried_for: the place of that suspect. '
    'zoids and above: each object on the ways, and its parent. visited: how many; with "most" of them it gave up.';
-- +goose StatementEnd

-- sql/dangling_reference.sql
-- +goose StatementBegin
CREATE OR REPLACE VIEW relpack.dangling_reference AS
SELECT dangling.zoid,
       holder.inrefs
FROM relpack.dangling
CROSS JOIN LATERAL (
    SELECT array_agg(few.inref ORDER BY few.inref) AS inrefs
    FROM (
        SELECT edge.inref
        FROM (
            SELECT object_inref.inref
            FROM relpack.object_inref
            WHERE object_inref.zoid = dangling.zoid
            OFFSET 0
        ) AS edge
        CROSS JOIN LATERAL (
            SELECT FROM relpack.object WHERE object.zoid = edge.inref AND object.parent IS NOT NULL OFFSET 0
        ) AS live
        LIMIT 3
    ) AS few
) AS holder
WHERE holder.inrefs IS NOT NULL;

COMMENT ON VIEW relpack.dangling_reference IS
    'What live objects refer to and was not stored when relpack first read them, or was deleted as garbage before '
    'they did (POSKeyError). As of the last pack.';
COMMENT ON COLUMN relpack.dangling_reference.zoid IS 'Object id that is not stored.';
COMMENT ON COLUMN relpack.dangling_reference.inrefs IS 'Live objects that refer to it, three at most; relpack.referrers(zoid) has all.';
-- +goose StatementEnd

-- sql/detached.sql
-- +goose StatementBegin
-- Objects without a parent, found by the index object_detached, which has this
-- very condition; its migration says why it is not "parent IS NULL". A view of one
-- table and one condition is put in the place of its name before anything is planned.
CREATE OR REPLACE VIEW relpack.detached AS
SELECT object.zoid,
       object.tid,
       object.class,
       object.size,
       object.detached_tid,
       coalesce(object.detached_tid, object.tid) AS since
FROM relpack.object
WHERE coalesce(object.parent, -1) = -1;

COMMENT ON VIEW relpack.detached IS
    'The objects that have no parent: those that can''t be reached from the root, once relpack.suspect is empty. '
    'relpack.unreachable_object shows them to people.';
COMMENT ON COLUMN relpack.detached.zoid IS 'Object id.';
COMMENT ON COLUMN relpack.detached.tid IS 'Transaction id of the revision whose references are recorded.';
COMMENT ON COLUMN relpack.detached.class IS 'Its class in relpack.class.';
COMMENT ON COLUMN relpack.detached.size IS 'Bytes of its state.';
COMMENT ON COLUMN relpack.detached.detached_tid IS
    'As in relpack.object: NULL where the first build found it unreachable, or a history dates it.';
COMMENT ON COLUMN relpack.detached.since IS 'When its grace begins, as a tid: detached_tid, or tid where that is NULL.';
-- +goose StatementEnd

-- sql/finding_kind.sql
-- +goose StatementBegin
-- What relpack.verify() and "relpack verify" can find, in words.
CREATE OR REPLACE VIEW relpack.finding_kind AS
SELECT kind.kind, kind.severity,
       CASE kind.kind WHEN 'doubt' THEN kind.meaning || coalesce(relpack.doubt(), '') ELSE kind.meaning END AS meaning,
       coalesce(kind.remedy, 'relpack verify --repair') AS remedy
FROM (VALUES
    ('no_root', 'error', 'the graph has no root', NULL),
    ('parent_without_reference', 'error', 'the parent of these objects does not refer to them', NULL),
    ('parent_detached', 'error', 'the parent of these objects is missing or unreachable itself', NULL),
    ('parents_in_a_circle', 'error', 'the parents of these objects do not lead to the root', NULL),
    ('live_but_detached', 'error', 'a reachable object refers to these, which count as unreachable', NULL),
    ('attached_with_detached_tid', 'error', 'reachable objects have a time since when they are unreachable', NULL),
    ('referrer_is_no_node', 'error', 'references of objects that relpack does not know', NULL),
    ('other_than_stored', 'error', 'object_state has another tid or no such row, and nothing reported it', NULL),
    ('other_references', 'error', 'the stored states do not refer to what is recorded', NULL),
    ('other_class', 'error', 'the stored states are of another class than recorded', NULL),
    ('other_problem', 'error', 'relpack.problem is wrong about whether these can be decoded', NULL),
    ('work_for_no_node', 'error', 'suspect, doomed or problem name objects that relpack does not know', NULL),
    ('live_but_doomed', 'error', 'reachable objects are chosen for deletion', NULL),
    ('doomed_but_referred_to', 'error', 'objects that stay refer to these, which are chosen for deletion', NULL),
    ('objects_miscounted', 'error', 'relpack.storage.objects is off by this many', NULL),
    ('references_miscounted', 'error', 'relpack.storage.inrefs is off by this many', NULL),
    ('undecodable', 'damage', 'reachable objects can''t be decoded: what they refer to is unknown, and nothing is deleted',
     'Restore these objects, or cut them off: "relpack check" says where they are, and all of them are listed by '
     'SELECT * FROM relpack.problem WHERE blocks;'),
    ('empty', 'damage', 'reachable objects without a state (NULL or empty), which nobody can load',
     'Restore them, or remove the references: "relpack check" says where these are'),
    ('uncurrent', 'damage', 'reachable objects of which current_object names no revision with a state, which nobody can load',
     'Restore these rows: the zoid, and the tid of the newest revision that is stored'),
    ('blob_without_file', 'damage', 'reachable blobs whose files are not in the blob directory',
     'Restore these files from a backup: "relpack check" says where the blobs are'),
    ('blob_without_old_file', 'damage', 'reachable blobs of which only files of older revisions are not in the blob directory',
     'Restore these files from a backup: "relpack check" says where the blobs are'),
    ('blob_without_large_object', 'damage', 'reachable blobs with rows in blob_chunk whose large objects are gone',
     'Restore these large objects from a backup: "relpack check" says where the blobs are'),
    ('blob_without_row', 'damage', 'reachable blobs without a row in blob_chunk, where blobs are in the database',
     'Restore these rows and their large objects from a backup: "relpack check" says where the blobs are'),
    ('doubt', 'note', 'the next pack compares first: ', 'relpack pack'),
    ('unfinished', 'note', 'the reachability of these objects is not settled yet', 'relpack pack'),
    ('missing', 'damage', 'the rows of these vanished though reachable objects refer to them; relpack keeps what they referred to',
     'Restore their rows, cut them off, or give them up with "relpack pack --accept-missing ZOID"; '
     '"relpack check" says where the references are'),
    ('dangling', 'damage', 'reachable objects refer to these, which are not stored (POSKeyError)',
     'Restore them, or remove the references: "relpack check" says where these are')
) AS kind (kind, severity, meaning, remedy);

COMMENT ON VIEW relpack.finding_kind IS
    'What relpack.verify() and "relpack verify" can find.';
COMMENT ON COLUMN relpack.finding_kind.kind IS 'Short name.';
COMMENT ON COLUMN relpack.finding_kind.severity IS
    'error: the graph is wrong, nothing should be deleted before it is mended; '
    'damage: the graph is right, the storage is not, and no repair mends that; note: worth knowing, not wrong.';
COMMENT ON COLUMN relpack.finding_kind.meaning IS 'The finding in words.';
COMMENT ON COLUMN relpack.finding_kind.remedy IS 'What to do about it.';
-- +goose StatementEnd

-- sql/garbage_by_age.sql
-- +goose StatementBegin
CREATE OR REPLACE VIEW relpack.garbage_by_age AS
SELECT bucket.age,
       coalesce(counted.objects, 0) AS objects,
       coalesce(counted.bytes, 0) AS bytes
FROM (VALUES (5, 'within a day'), (4, '1 to 7 days'), (3, '7 to 30 days'), (2, '30 to 90 days'), (1, 'longer'), (0, 'nobody knows'))
    AS bucket (number, age)
LEFT JOIN (
    SELECT CASE WHEN detached.detached_tid IS NULL THEN 0 ELSE width_bucket(detached.detached_tid, bound.tids) + 1 END AS number,
           count(*) AS objects,
           sum(detached.size) AS bytes
    FROM relpack.detached
    CROSS JOIN (
        SELECT ARRAY[
            relpack.time_to_tid(now() - interval '90 days'), relpack.time_to_tid(now() - interval '30 days'),
            relpack.time_to_tid(now() - interval '7 days'), relpack.time_to_tid(now() - interval '1 day')] AS tids
    ) AS bound
    GROUP BY 1
) AS counted USING (number)
ORDER BY bucket.number DESC;

COMMENT ON VIEW relpack.garbage_by_age IS
    'How long the unreachable objects have been so, as of the last pack. It reads all of them.';
COMMENT ON COLUMN relpack.garbage_by_age.age IS
    'Since the run noticed that they were cut off; "nobody knows": the first build found them so. In a history-preserving '
    'storage they were so at the last pack time, relpack.storage.horizon_tid, at the latest.';
COMMENT ON COLUMN relpack.garbage_by_age.objects IS 'How many they are.';
COMMENT ON COLUMN relpack.garbage_by_age.bytes IS 'Bytes of their states.';
-- +goose StatementEnd

-- sql/garbage_by_class.sql
-- +goose StatementBegin
-- Buckets last: they say nothing of what was deleted.
CREATE OR REPLACE VIEW relpack.garbage_by_class AS
SELECT class.label AS class,
       garbage.objects,
       garbage.bytes
FROM (
    SELECT detached.class, count(*) AS objects, sum(detached.size) AS bytes
    FROM relpack.detached
    GROUP BY detached.class
) AS garbage
JOIN relpack.class ON class.id = garbage.class
ORDER BY class.module LIKE 'BTrees.%', garbage.bytes DESC;

COMMENT ON VIEW relpack.garbage_by_class IS
    'What the unreachable objects are, largest first, parts of BTrees last; those within the grace included.';
COMMENT ON COLUMN relpack.garbage_by_class.class IS 'Python class.';
COMMENT ON COLUMN relpack.garbage_by_class.objects IS 'How many of it are unreachable.';
COMMENT ON COLUMN relpack.garbage_by_class.bytes IS 'Bytes of their states.';
-- +goose StatementEnd

-- sql/leftover.sql
-- +goose StatementBegin
-- Tables that other packers leave filled.
CREATE OR REPLACE VIEW relpack.leftover AS
SELECT tool.owner,
       format('%I.%I', namespace.nspname, class.relname) AS table_name,
       pg_total_relation_size(class.oid) AS bytes,
       format('TRUNCATE %I.%I;', namespace.nspname, class.relname) AS remedy
FROM (VALUES ('relstorage_packer', 'object_inrefs'),
             ('zodbpack', 'object_ref'),
             ('zodbpack', 'object_refs_added'),
             ('zodbpack', 'pack_object'),
             ('zodbpack', 'pack_state'),
             ('zodbpack', 'pack_state_tid')) AS tool (owner, table_name)
JOIN pg_catalog.pg_class AS class ON class.relname = tool.table_name AND class.relkind = 'r'
JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = class.relnamespace
WHERE pg_relation_size(class.oid) > 0
ORDER BY bytes DESC;

COMMENT ON VIEW relpack.leftover IS
    'Tables that relstorage_packer or zodbpack left filled and that cost space. '
    'relpack never touches them; zodbpack fills its own again when it is used.';
COMMENT ON COLUMN relpack.leftover.owner IS 'The tool that filled it.';
COMMENT ON COLUMN relpack.leftover.table_name IS 'The table.';
COMMENT ON COLUMN relpack.leftover.bytes IS 'Its size with indexes.';
COMMENT ON COLUMN relpack.leftover.remedy IS 'How to empty it, when that tool is not running.';
-- +goose StatementEnd

-- sql/missing_blob_index.sql
-- +goose StatementBegin
-- RelStorage's trigger on blob_chunk looks for other rows with the large object
-- of each row that is deleted. Without an index that is a scan of the table for
-- each, and RelStorage 3.0 and later make none: of 100,000 blobs 103 went in a
-- second, with an index 5,140. Anybody's index will do. Read from the catalogs:
-- a status waits for nobody.
CREATE OR REPLACE VIEW relpack.missing_blob_index AS
SELECT 'CREATE INDEX CONCURRENTLY relpack_blob_chunk_chunk ON public.blob_chunk (chunk)'::text AS statement,
       greatest(class.relpages, pg_stat_get_live_tuples(class.oid) / 150) AS pages,
       greatest(class.relpages, pg_stat_get_live_tuples(class.oid) / 150) >= 8 AS notable
FROM pg_catalog.pg_class AS class
WHERE class.relname = 'blob_chunk'
  AND class.relnamespace = to_regnamespace('public')
  AND class.relkind IN ('r', 'p')
  AND NOT EXISTS (
      SELECT
      FROM pg_catalog.pg_index AS index
      JOIN pg_catalog.pg_class AS known ON known.oid = index.indexrelid
      JOIN pg_catalog.pg_am AS method ON method.oid = known.relam
      JOIN pg_catalog.pg_attribute AS attribute
          ON attribute.attrelid = index.indrelid AND attribute.attnum = index.indkey[0]
      WHERE index.indrelid = class.oid
        AND attribute.attname = 'chunk'
        AND index.indisvalid
        AND index.indpred IS NULL
        AND method.amname IN ('btree', 'hash'));

COMMENT ON VIEW relpack.missing_blob_index IS
    'A row where blob_chunk has no index on chunk: deleting blobs that are kept in the database takes the longer, the more there are.';
COMMENT ON COLUMN relpack.missing_blob_index.statement IS 'What creates the index; "relpack migrate up" does.';
COMMENT ON COLUMN relpack.missing_blob_index.pages IS
    'About how many pages of blob_chunk are read for each blob that is deleted; in few nobody notices.';
COMMENT ON COLUMN relpack.missing_blob_index.notable IS 'Whether these are so many that somebody notices.';
-- +goose StatementEnd

-- sql/missing_index.sql
-- +goose StatementBegin
-- Two that RelStorage does not make. A pack asks again and again which transactions up to its
-- pack time are not marked as packed: all but a few are, since the last one. Where commits
-- lock the table transaction, they would wait for whoever makes an index on it. A pack that
-- deletes blobs asks for the other one alone, as this view takes the planner longer.
-- Anybody's index will do. Read from the catalogs: a status waits for nobody.
CREATE OR REPLACE VIEW relpack.missing_index AS
SELECT 'blob_chunk' AS table_name, 'deleting blobs' AS slow, statement, pages, notable
FROM relpack.missing_blob_index
UNION ALL
SELECT 'transaction', 'each pack',
       'CREATE INDEX CONCURRENTLY relpack_transaction_unmarked ON public.transaction (tid) WHERE packed IS NOT TRUE',
       size.pages, size.pages >= 1000
FROM pg_catalog.pg_class AS class
CROSS JOIN LATERAL (
    SELECT greatest(class.relpages, pg_stat_get_live_tuples(class.oid) / 100) AS pages) AS size
WHERE class.relname = 'transaction'
  AND class.relnamespace = to_regnamespace('public')
  AND class.relkind = 'r'
  AND relpack.lock_protocol() IN ('advisory', 'row')
  AND NOT EXISTS (
      SELECT
      FROM pg_catalog.pg_index AS index
      JOIN pg_catalog.pg_class AS known ON known.oid = index.indexrelid
      JOIN pg_catalog.pg_am AS method ON method.oid = known.relam
      JOIN pg_catalog.pg_attribute AS attribute
          ON attribute.attrelid = index.indrelid AND attribute.attnum = index.indkey[0]
      WHERE index.indrelid = class.oid
        AND attribute.attname = 'tid'
        AND index.indisvalid
        AND pg_get_expr(index.indpred, index.indrelid) = '(packed IS NOT TRUE)'
        AND method.amname = 'btree');

COMMENT ON VIEW relpack.missing_index IS
    'A row for each index that a table of RelStorage''s lacks: one on blob_chunk (relpack.missing_blob_index), and in a '
    'history-preserving storage one on the transactions that are not marked as packed, without which each pack reads all '
    'up to its pack time.';
COMMENT ON COLUMN relpack.missing_index.table_name IS 'The table, in the schema public.';
COMMENT ON COLUMN relpack.missing_index.slow IS 'What is slow without the index.';
COMMENT ON COLUMN relpack.missing_index.statement IS 'What creates the index; "relpack migrate up" does.';
COMMENT ON COLUMN relpack.missing_index.pages IS
    'About how many pages of the table are read without it, for each blob that is deleted, or two to four times by each pack.';
COMMENT ON COLUMN relpack.missing_index.notable IS 'Whether these are so many that somebody notices.';
-- +goose StatementEnd

-- sql/missing_object.sql
-- +goose StatementBegin
CREATE OR REPLACE VIEW relpack.missing_object AS
SELECT missing.zoid,
       class.label AS class,
       missing.since,
       missing.accepted,
       holder.inrefs
FROM relpack.missing
JOIN relpack.object ON object.zoid = missing.zoid
JOIN relpack.class ON class.id = object.class
CROSS JOIN LATERAL (
    SELECT array_agg(few.inref ORDER BY few.inref) AS inrefs
    FROM (
        SELECT edge.inref
        FROM (
            SELECT object_inref.inref
            FROM relpack.object_inref
            WHERE object_inref.zoid = missing.zoid
            OFFSET 0
        ) AS edge
        CROSS JOIN LATERAL (
            SELECT FROM relpack.object WHERE object.zoid = edge.inref AND object.parent IS NOT NULL OFFSET 0
        ) AS live
        WHERE NOT EXISTS (SELECT FROM relpack.missing AS other WHERE other.zoid = edge.inref OFFSET 0)
        LIMIT 3
    ) AS few
) AS holder
WHERE holder.inrefs IS NOT NULL;

COMMENT ON VIEW relpack.missing_object IS
    'Objects whose rows vanished from object_state while live ones refer to them (POSKeyError). '
    'relpack keeps what hangs on them until the row is back, nothing live refers to it any more, or it is given up '
    '(relpack.accept_missing). What only other missing objects refer to is in relpack.missing alone.';
COMMENT ON COLUMN relpack.missing_object.zoid IS 'Object id.';
COMMENT ON COLUMN relpack.missing_object.class IS 'Its Python class, as last read.';
COMMENT ON COLUMN relpack.missing_object.since IS 'When a pack first found the row gone.';
COMMENT ON COLUMN relpack.missing_object.accepted IS 'Given up: the next pack drops the node.';
COMMENT ON COLUMN relpack.missing_object.inrefs IS 'Live objects that refer to it, three at most; relpack.referrers(zoid) has all.';
-- +goose StatementEnd

-- sql/size_by_class.sql
-- +goose StatementBegin
CREATE OR REPLACE VIEW relpack.size_by_class AS
SELECT class.label AS class,
       live.objects,
       live.bytes
FROM (
    SELECT object.class, count(*) AS objects, sum(object.size) AS bytes
    FROM relpack.object
    WHERE object.parent IS NOT NULL
      AND NOT EXISTS (SELECT FROM relpack.missing WHERE missing.zoid = object.zoid)
    GROUP BY object.class
) AS live
JOIN relpack.class ON class.id = live.class
ORDER BY live.bytes DESC;

COMMENT ON VIEW relpack.size_by_class IS
    'What the live objects are, as of the last pack, largest first. It reads all of relpack.object.';
COMMENT ON COLUMN relpack.size_by_class.class IS 'Python class.';
COMMENT ON COLUMN relpack.size_by_class.objects IS 'How many of it are live.';
COMMENT ON COLUMN relpack.size_by_class.bytes IS
    'Bytes of their states; of a history, of all revisions that the last pack or dry run keeps.';
-- +goose StatementEnd

-- sql/unreachable_object.sql
-- +goose StatementBegin
CREATE OR REPLACE VIEW relpack.unreachable_object AS
SELECT detached.zoid,
       detached.tid,
       class.label AS class,
       detached.size,
       relpack.tid_to_time(detached.detached_tid) AS unreachable_since,
       greatest(relpack.tid_to_time(detached.since), storage.unreferred,
                CASE WHEN storage.keeps_history AND storage.horizon_tid > 0 THEN relpack.tid_to_time(storage.horizon_tid) END)
       + interval '24 hours' AS deletable_after
FROM relpack.detached
CROSS JOIN relpack.storage
JOIN relpack.class ON class.id = detached.class;

COMMENT ON VIEW relpack.unreachable_object IS
    'Every object that can''t be reached from the root, as of the last pack (with its --dry-run too), those within '
    'the grace included. Settled while relpack.suspect is empty.';
COMMENT ON COLUMN relpack.unreachable_object.zoid IS 'Object id.';
COMMENT ON COLUMN relpack.unreachable_object.tid IS 'Transaction that wrote it last; relpack.tid_to_time(tid) tells when.';
COMMENT ON COLUMN relpack.unreachable_object.class IS 'Its Python class.';
COMMENT ON COLUMN relpack.unreachable_object.size IS 'Bytes of its state.';
COMMENT ON COLUMN relpack.unreachable_object.unreachable_since IS
    'When the last transaction was written that the run knew of which found it cut off; '
    'if rows were deleted or restored in the meantime, when that was noticed. '
    'NULL: the first build found it so, nobody knows since when; or in a history-preserving storage a commit cut it off '
    'before the last pack time.';
COMMENT ON COLUMN relpack.unreachable_object.deletable_after IS
    'From when a pack with the default grace of one day deletes it, if nothing that stays refers to it. '
    'A grace that began when another storage ceased to refer to this one counts. '
    'In a history-preserving storage a day after the last pack time at the latest: an earlier one has more old revisions.';
-- +goose StatementEnd

-- sql/writer.sql
-- +goose StatementBegin
-- Transactions with a write to object_state in flight. One that was prepared
-- for a two-phase commit has no session any more: it is known by the lock on its
-- own number.
CREATE OR REPLACE VIEW relpack.writer AS
SELECT locks.pid,
       coalesce(activity.application_name, 'prepared transaction ' || prepared.gid) AS application,
       coalesce(activity.usename, prepared.owner) AS username,
       coalesce(activity.xact_start, prepared.prepared) AS xact_start,
       CASE WHEN prepared.gid IS NULL THEN activity.state ELSE 'prepared' END AS state,
       coalesce(activity.query, format('ROLLBACK PREPARED %L', prepared.gid)) AS query,
       locks.mode = 'ExclusiveLock' AS exclusive
FROM pg_catalog.pg_locks AS locks
LEFT JOIN pg_catalog.pg_stat_activity AS activity ON activity.pid = locks.pid
LEFT JOIN LATERAL (
    SELECT xact.gid, xact.owner, xact.prepared
    FROM pg_catalog.pg_locks AS own
    JOIN pg_catalog.pg_prepared_xacts AS xact ON xact.transaction = own.transactionid
    WHERE locks.pid IS NULL AND own.pid IS NULL AND own.virtualtransaction = locks.virtualtransaction
    LIMIT 1
) AS prepared ON true
WHERE locks.locktype = 'advisory'
  AND locks.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
  AND locks.classid = 1919249520
  AND locks.objid = 1
  AND locks.objsubid = 2
  AND locks.granted;

COMMENT ON VIEW relpack.writer IS
    'Transactions that have written to object_state and have not ended. One that stays here for long keeps relpack from deleting.';
COMMENT ON COLUMN relpack.writer.pid IS 'Process id: pg_cancel_backend(pid) cancels its statement. NULL: a prepared transaction.';
COMMENT ON COLUMN relpack.writer.application IS 'Its application_name; the name of a prepared transaction.';
COMMENT ON COLUMN relpack.writer.username IS 'Its role.';
COMMENT ON COLUMN relpack.writer.xact_start IS 'Start of its transaction, or when it was prepared.';
COMMENT ON COLUMN relpack.writer.state IS 'active, idle in transaction, prepared, ...';
COMMENT ON COLUMN relpack.writer.query IS 'Its last statement; what ends a prepared transaction, if COMMIT PREPARED does not.';
COMMENT ON COLUMN relpack.writer.exclusive IS
    'Whether it keeps all others from writing: relpack does for a moment, and any role may that takes advisory lock '
    '(1919249520, 1) by hand.';
-- +goose StatementEnd

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA relpack FROM PUBLIC;
SELECT relpack.take_back(NULL);
SELECT relpack.create_triggers();
SELECT relpack.trim_committed();

-- +goose Down
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL check_function_bodies = off;
SET LOCAL lock_timeout = '200ms';
SELECT relpack.drop_triggers();
DROP VIEW relpack."writer";
DROP VIEW relpack."unreachable_object";
DROP VIEW relpack."size_by_class";
DROP VIEW relpack."missing_object";
DROP VIEW relpack."missing_index";
DROP VIEW relpack."missing_blob_index";
DROP VIEW relpack."leftover";
DROP VIEW relpack."garbage_by_class";
DROP VIEW relpack."garbage_by_age";
DROP VIEW relpack."finding_kind";
DROP VIEW relpack."detached";
DROP VIEW relpack."dangling_reference";
DROP FUNCTION relpack."ways_walk";
DROP FUNCTION relpack."ways_up";
DROP FUNCTION relpack."ways_ends";
DROP FUNCTION relpack."walk_limits";
DROP FUNCTION relpack."verify_tree";
DROP FUNCTION relpack."verify_states";
DROP FUNCTION relpack."verify_nodes";
DROP FUNCTION relpack."verify_mend";
DROP FUNCTION relpack."verify_graph";
DROP FUNCTION relpack."verify_foreign";
DROP FUNCTION relpack."verify_blobs";
DROP FUNCTION relpack."verify";
DROP FUNCTION relpack."unnamed_large_object";
DROP FUNCTION relpack."uncurrent_of";
DROP FUNCTION relpack."uncurrent";
DROP FUNCTION relpack."unapplied";
DROP FUNCTION relpack."try_writers_lock";
DROP FUNCTION relpack."try_pack_lock";
DROP FUNCTION relpack."trimmed";
DROP FUNCTION relpack."trim_writers";
DROP FUNCTION relpack."trim_whiteouts";
DROP FUNCTION relpack."trim_until";
DROP FUNCTION relpack."trim_unmarked";
DROP FUNCTION relpack."trim_undoable";
DROP FUNCTION relpack."trim_uncreated";
DROP FUNCTION relpack."trim_transactions";
DROP FUNCTION relpack."trim_since";
DROP FUNCTION relpack."trim_settle";
DROP FUNCTION relpack."trim_require";
DROP FUNCTION relpack."trim_pend";
DROP FUNCTION relpack."trim_note";
DROP FUNCTION relpack."trim_named";
DROP FUNCTION relpack."trim_marks";
DROP FUNCTION relpack."trim_mark";
DROP FUNCTION relpack."trim_list";
DROP FUNCTION relpack."trim_left";
DROP FUNCTION relpack."trim_leaves";
DROP FUNCTION relpack."trim_keys";
DROP FUNCTION relpack."trim_kept";
DROP FUNCTION relpack."trim_held";
DROP FUNCTION relpack."trim_fit";
DROP FUNCTION relpack."trim_find";
DROP FUNCTION relpack."trim_end";
DROP FUNCTION relpack."trim_due";
DROP FUNCTION relpack."trim_delete";
DROP FUNCTION relpack."trim_committed";
DROP FUNCTION relpack."trim_cleared";
DROP FUNCTION relpack."trim_classes";
DROP FUNCTION relpack."trim_blobs";
DROP FUNCTION relpack."trim_begin";
DROP FUNCTION relpack."trim_batch";
DROP FUNCTION relpack."trim_awaited";
DROP FUNCTION relpack."trigger_write";
DROP FUNCTION relpack."trigger_truncate";
DROP FUNCTION relpack."trigger_rewrite";
DROP FUNCTION relpack."trigger_move";
DROP FUNCTION relpack."trigger_lock";
DROP FUNCTION relpack."trigger_identity";
DROP FUNCTION relpack."trigger_delete";
DROP FUNCTION relpack."trigger_applied";
DROP FUNCTION relpack."to_vacuum";
DROP FUNCTION relpack."timeline";
DROP FUNCTION relpack."time_to_tid";
DROP FUNCTION relpack."tids_ahead";
DROP FUNCTION relpack."tid_to_time";
DROP FUNCTION relpack."take_back";
DROP FUNCTION relpack."sweep_try";
DROP FUNCTION relpack."sweep_recheck";
DROP FUNCTION relpack."sweep_piece";
DROP FUNCTION relpack."sweep_order";
DROP FUNCTION relpack."sweep_hurry";
DROP FUNCTION relpack."sweep_history";
DROP FUNCTION relpack."sweep_fit";
DROP FUNCTION relpack."sweep_delete";
DROP FUNCTION relpack."sweep_decoded";
DROP FUNCTION relpack."sweep_choose";
DROP FUNCTION relpack."sweep_batch";
DROP FUNCTION relpack."sweep";
DROP FUNCTION relpack."survey";
DROP FUNCTION relpack."stored";
DROP FUNCTION relpack."status";
DROP FUNCTION relpack."spare_young";
DROP FUNCTION relpack."spare_set_aside";
DROP FUNCTION relpack."spare_referred";
DROP FUNCTION relpack."set_aside_held";
DROP FUNCTION relpack."set_aside_blobs";
DROP FUNCTION relpack."scratch_clear";
DROP FUNCTION relpack."scan_resume";
DROP FUNCTION relpack."scan_done";
DROP FUNCTION relpack."salvage";
DROP FUNCTION relpack."run_end";
DROP FUNCTION relpack."run_begin";
DROP FUNCTION relpack."reshape_if_deep";
DROP FUNCTION relpack."reshape";
DROP FUNCTION relpack."reread_done";
DROP FUNCTION relpack."require_unreferred";
DROP FUNCTION relpack."require_storage";
DROP FUNCTION relpack."require_settled";
DROP FUNCTION relpack."require_root";
DROP FUNCTION relpack."require_protocol";
DROP FUNCTION relpack."require_packer_alive";
DROP FUNCTION relpack."require_packer";
DROP FUNCTION relpack."require_packable";
DROP FUNCTION relpack."require_pack_lock";
DROP FUNCTION relpack."require_own";
DROP FUNCTION relpack."require_none_missing";
DROP FUNCTION relpack."require_no_holes";
DROP FUNCTION relpack."require_kind";
DROP FUNCTION relpack."require_history";
DROP FUNCTION relpack."require_deleted";
DROP FUNCTION relpack."require_deletable";
DROP FUNCTION relpack."require_cut_off";
DROP FUNCTION relpack."require_cleared";
DROP FUNCTION relpack."require_blobs_mark";
DROP FUNCTION relpack."require_blob_owner";
DROP FUNCTION relpack."release_pack_lock";
DROP FUNCTION relpack."referrers";
DROP FUNCTION relpack."referents";
DROP FUNCTION relpack."reach_step";
DROP FUNCTION relpack."reach_split";
DROP FUNCTION relpack."reach_flow_deep";
DROP FUNCTION relpack."reach_flow";
DROP FUNCTION relpack."reach_cut_deep";
DROP FUNCTION relpack."reach_cut";
DROP FUNCTION relpack."reach_climb";
DROP FUNCTION relpack."reach_attach";
DROP FUNCTION relpack."reach";
DROP FUNCTION relpack."pend";
DROP FUNCTION relpack."path_to_root";
DROP FUNCTION relpack."pack_lock_holder";
DROP FUNCTION relpack."own_session";
DROP FUNCTION relpack."other_clients";
DROP FUNCTION relpack."origin";
DROP FUNCTION relpack."oldest_kept";
DROP FUNCTION relpack."oldest_client";
DROP FUNCTION relpack."note_unreferred";
DROP FUNCTION relpack."note_unread";
DROP FUNCTION relpack."note_referrer";
DROP FUNCTION relpack."note_dangling";
DROP FUNCTION relpack."newest_tid";
DROP FUNCTION relpack."names_blob";
DROP FUNCTION relpack."missing_trigger";
DROP FUNCTION relpack."missing_privilege";
DROP FUNCTION relpack."lock_storage";
DROP FUNCTION relpack."lock_protocol";
DROP FUNCTION relpack."live_blobs";
DROP FUNCTION relpack."listed_blobs";
DROP FUNCTION relpack."list_ranges";
DROP FUNCTION relpack."line_up";
DROP FUNCTION relpack."large_object_bytes";
DROP FUNCTION relpack."known_storage";
DROP FUNCTION relpack."keeps_history";
DROP FUNCTION relpack."in_the_way";
DROP FUNCTION relpack."horizon_set";
DROP FUNCTION relpack."horizon_move";
DROP FUNCTION relpack."horizon_lower";
DROP FUNCTION relpack."hold_missing";
DROP FUNCTION relpack."history_by_class";
DROP FUNCTION relpack."history";
DROP FUNCTION relpack."highest_zoid";
DROP FUNCTION relpack."held_by";
DROP FUNCTION relpack."hangs_with";
DROP FUNCTION relpack."guard_graph";
DROP FUNCTION relpack."graph_lost";
DROP FUNCTION relpack."graph_identity";
DROP FUNCTION relpack."grace_oldest_transaction";
DROP FUNCTION relpack."grace_cap";
DROP FUNCTION relpack."grace_began";
DROP FUNCTION relpack."fresh_state";
DROP FUNCTION relpack."forget_referrer";
DROP FUNCTION relpack."forget_missing";
DROP FUNCTION relpack."drop_triggers";
DROP FUNCTION relpack."doubt";
DROP FUNCTION relpack."doom_until";
DROP FUNCTION relpack."doom_spare_deep";
DROP FUNCTION relpack."doom_spare";
DROP FUNCTION relpack."doom_outdated";
DROP FUNCTION relpack."doom_choose";
DROP FUNCTION relpack."doom_analyze";
DROP FUNCTION relpack."doom";
DROP FUNCTION relpack."discard_blob_removals";
DROP FUNCTION relpack."current_blobs";
DROP FUNCTION relpack."create_triggers";
DROP FUNCTION relpack."count_dangling";
DROP FUNCTION relpack."commit_locally";
DROP FUNCTION relpack."commit_durably";
DROP FUNCTION relpack."column_identity";
DROP FUNCTION relpack."class_id";
DROP FUNCTION relpack."capture_watermark";
DROP FUNCTION relpack."capture_set_back";
DROP FUNCTION relpack."capture_salvaged";
DROP FUNCTION relpack."capture_recount";
DROP FUNCTION relpack."capture_read_until";
DROP FUNCTION relpack."capture_list";
DROP FUNCTION relpack."capture_events";
DROP FUNCTION relpack."capture_compare";
DROP FUNCTION relpack."capture_changes";
DROP FUNCTION relpack."capped_pack_time";
DROP FUNCTION relpack."build_step";
DROP FUNCTION relpack."build_reset";
DROP FUNCTION relpack."build_mark";
DROP FUNCTION relpack."build_level";
DROP FUNCTION relpack."build_index_keys";
DROP FUNCTION relpack."build_index_inref";
DROP FUNCTION relpack."build_finish";
DROP FUNCTION relpack."build_enter";
DROP FUNCTION relpack."build_drop_doubles";
DROP FUNCTION relpack."build_begin";
DROP FUNCTION relpack."broken_blobs";
DROP FUNCTION relpack."blobs_stored";
DROP FUNCTION relpack."blobs_stamp";
DROP FUNCTION relpack."blobs_removed";
DROP FUNCTION relpack."blobs_orphaned";
DROP FUNCTION relpack."blobs_not_found";
DROP FUNCTION relpack."blobs_next";
DROP FUNCTION relpack."blobs_named";
DROP FUNCTION relpack."blobs_mark";
DROP FUNCTION relpack."blobs_listed";
DROP FUNCTION relpack."blobs_judge";
DROP FUNCTION relpack."blobs_in_database";
DROP FUNCTION relpack."blobs_going";
DROP FUNCTION relpack."blobs_due";
DROP FUNCTION relpack."blobs_awaited";
DROP FUNCTION relpack."blob_bytes";
DROP FUNCTION relpack."being_changed";
DROP FUNCTION relpack."begin_reshape";
DROP FUNCTION relpack."audit_whole";
DROP FUNCTION relpack."audit_tree";
DROP FUNCTION relpack."audit_sample";
DROP FUNCTION relpack."audit_range";
DROP FUNCTION relpack."audit_proof";
DROP FUNCTION relpack."audit_kept";
DROP FUNCTION relpack."audit_due";
DROP FUNCTION relpack."audit_done";
DROP FUNCTION relpack."audit_differs";
DROP FUNCTION relpack."apply_set_back";
DROP FUNCTION relpack."apply_problems";
DROP FUNCTION relpack."apply_nodes";
DROP FUNCTION relpack."apply_join";
DROP FUNCTION relpack."apply_foreign";
DROP FUNCTION relpack."apply_finish";
DROP FUNCTION relpack."apply_edges";
DROP FUNCTION relpack."apply_discard";
DROP FUNCTION relpack."apply";
DROP FUNCTION relpack."anyone_waits";
DROP FUNCTION relpack."all_reachable";
DROP FUNCTION relpack."accept_missing";
DROP FUNCTION relpack."accept_if_missing";
