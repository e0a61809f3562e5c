package schema_test

import (
	"strings"
	"testing"
	"time"

	"relpack/migrations"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/schema"
	"relpack/runner/status"
)

// traps puts into public whatever a statement with public in its search path
// would prefer to the server's own: operators for pairs of types that the
// server has none for, and functions that fit better than a generic one. Each
// notes with whose rights it is called.
const traps = `
	CREATE TABLE public.caught (role text, trap text);
	GRANT INSERT ON public.caught TO PUBLIC;
	DO $$
	DECLARE
	    v_trap record;
	BEGIN
	    FOR v_trap IN
	        SELECT format('trap_%s', row_number() OVER ()) AS name,
	               operator, one, other,
	               CASE WHEN operator IN ('+', '-', '*', '/', '||') THEN one ELSE 'boolean' END AS result
	        FROM unnest('{=,<>,<,>,<=,>=,~~,!~~,~,!~,+,-,*,/,||}'::text[]) AS operator,
	             unnest('{integer,bigint,double precision,text,name,"\"char\"",oid,xid,timestamptz,interval}'::text[]) AS one,
	             unnest('{integer,bigint,double precision,text,name,"\"char\"",oid,xid,timestamptz,interval}'::text[]) AS other
	        WHERE to_regoperator(format('pg_catalog.%s(%s,%s)', operator, one, other)) IS NULL
	    LOOP
	        EXECUTE format('CREATE FUNCTION public.%I(%s, %s) RETURNS %s LANGUAGE plpgsql AS
	                        $t$BEGIN INSERT INTO public.caught VALUES (current_user, %L); RETURN NULL; END$t$',
	                       v_trap.name, v_trap.one, v_trap.other, v_trap.result,
	                       format('%s %s %s', v_trap.one, v_trap.operator, v_trap.other));
	        EXECUTE format('CREATE OPERATOR public.%s (FUNCTION = public.%I, LEFTARG = %s, RIGHTARG = %s)',
	                       v_trap.operator, v_trap.name, v_trap.one, v_trap.other);
	    END LOOP;
	    FOR v_trap IN
	        SELECT *
	        FROM (VALUES ('make_interval', 'secs double precision', 'interval'),
	                     ('unnest', 'bigint[]', 'SETOF bigint'),
	                     ('unnest', 'text[]', 'SETOF text'),
	                     ('unnest', 'integer[]', 'SETOF integer'),
	                     ('format', 'text, integer, text, text, text', 'text'),
	                     ('format', 'text, name', 'text'),
	                     ('format', 'text, text', 'text'),
	                     ('count', '', 'bigint')) AS trap (name, parameters, result)
	    LOOP
	        EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS %s LANGUAGE plpgsql AS
	                        $t$BEGIN INSERT INTO public.caught VALUES (current_user, %L); RETURN%s; END$t$',
	                       v_trap.name, v_trap.parameters, v_trap.result, v_trap.name,
	                       CASE WHEN v_trap.result LIKE 'SETOF%' THEN '' ELSE ' NULL' END);
	    END LOOP;
	END;
	$$`

// A role that may create things in public can't have its code run by relpack.
func TestNothingInPublicIsTakenForTheServersOwn(t *testing.T) {
	t.Parallel()
	target, admin := packtest.NewBareStorage(t)
	attacker := packtest.NewRole(t, admin)
	packtest.Run(t, admin, "GRANT CREATE ON SCHEMA public TO "+attacker+"; GRANT SELECT, INSERT, UPDATE, DELETE ON object_state TO "+attacker)
	packtest.CommitAt(t, admin, 48*time.Hour, packtest.Garden)
	packtest.Run(t, packtest.Session(t, packtest.As(target, attacker)), traps)
	caught := func() []string {
		return packtest.Lines(t, admin, "SELECT DISTINCT role || ': ' || trap FROM public.caught WHERE role <> '"+attacker+"'")
	}
	packtest.Run(t, admin, "SELECT now() - make_interval(secs => 2::float8 * 3)")
	if len(caught()) == 0 {
		t.Fatal("the traps catch nobody: the test proves nothing")
	}
	packtest.Run(t, admin, "TRUNCATE public.caught")

	packtest.MigrateUp(t, target)
	o := packtest.Everything
	o.Days = 0.5
	for range 2 {
		packtest.Pack(t, target, o)
		packtest.CommitAt(t, packtest.Session(t, packtest.As(target, attacker)), 36*time.Hour, packtest.Links{1: {20}, 20: nil, 21: {22}, 22: {21}})
		if _, err := status.Look(t.Context(), target, migrations.Files, packtest.Log(t)); err != nil {
			t.Error(err)
		}
		// As a DBA would, with the usual search path.
		for _, view := range packtest.Lines(t, admin, "SELECT relname::text FROM pg_class WHERE relnamespace = 'relpack'::regnamespace AND relkind = 'v'") {
			packtest.Lines(t, admin, "SELECT to_jsonb(shown)::text FROM relpack."+view+" AS shown")
		}
		packtest.Lines(t, admin, "SELECT outcome FROM relpack.sweep(10, now())")
		packtest.Lines(t, admin, "SELECT to_jsonb(shown)::text FROM relpack.path_to_root(1) AS shown")
		packtest.Lines(t, admin, "SELECT finding FROM relpack.verify()")
	}
	if _, err := schema.ReadStatus(t.Context(), target, migrations.Files, packtest.Log(t)); err != nil {
		t.Error(err)
	}
	down(t, target)
	for _, trap := range caught() {
		t.Errorf("caught %s", trap)
	}
}

// What a writer has in its own temporary schema is as little of use: a trigger
// acts with the rights of relpack's owner.
func TestTemporaryTablesDoNotStandInForRelpacks(t *testing.T) {
	t.Parallel()
	h := packtest.NewHouse(t)
	app := h.As(t, h.App)
	tid := packtest.CommitAt(t, app, 48*time.Hour, packtest.Garden)
	packtest.DryRun(t, packtest.As(h.Target, h.Owner))
	packtest.Run(t, app, `
		CREATE TEMPORARY TABLE written (zoid text, tid text);
		CREATE TEMPORARY TABLE deleted (zoid text, tid text, state text);
		CREATE TEMPORARY TABLE write_event (kind text, zoid bigint, tid bigint);
		CREATE TEMPORARY TABLE storage (watermark bigint, graph text);
		INSERT INTO storage VALUES (0, 'none');
		CREATE TEMPORARY TABLE blob_removal (zoid bigint, tid bigint);
		CREATE TEMPORARY TABLE doomed (zoid bigint);
		CREATE TEMPORARY TABLE object (zoid bigint, tid bigint, class integer);
		CREATE TEMPORARY TABLE pg_class (oid oid);
		CREATE FUNCTION pg_temp.pg_advisory_xact_lock_shared(integer, integer) RETURNS void LANGUAGE sql AS '';
		CREATE FUNCTION pg_temp.current_setting(text) RETURNS text LANGUAGE sql AS 'SELECT ''none''';
		SET search_path = pg_temp, public`)
	packtest.Restore(t, app, 2, tid-1, zodbtest.Record(zodbtest.Blob))
	packtest.Run(t, app, "DELETE FROM public.object_state WHERE zoid = 2")
	packtest.Run(t, app, "BEGIN")
	packtest.Run(t, app, "DELETE FROM public.object_state WHERE zoid = 1")
	if n := packtest.Get[int](t, h.Admin, "SELECT count(*) FROM relpack.writer WHERE pid = $1", app.PgConn().PID()); n != 1 {
		t.Error("the writer does not hold the writers' lock")
	}
	packtest.Run(t, app, "COMMIT")
	events := packtest.Lines(t, h.Admin, "SELECT kind || ' ' || zoid FROM relpack.write_event ORDER BY 1")
	if got := strings.Join(events, ", "); got != "deleted 1, deleted 2, written 2" {
		t.Errorf("events: %s", got)
	}
	if n := packtest.Get[int](t, h.Admin, "SELECT count(*) FROM relpack.blob_removal WHERE zoid = 2"); n != 1 {
		t.Errorf("%d rows in the outbox", n)
	}
}

// A writer may prefer whatever he likes to the server's own, for himself: the
// triggers of a commit have no search path of their own.
func TestAWritersSearchPathIsNotThatOfTheTriggers(t *testing.T) {
	t.Parallel()
	h := packtest.NewHouse(t)
	app := h.As(t, h.App)
	tid := packtest.CommitAt(t, app, 48*time.Hour, packtest.Garden)
	packtest.DryRun(t, packtest.As(h.Target, h.Owner))
	packtest.Run(t, h.Admin, "CREATE SCHEMA bait AUTHORIZATION "+h.App+`;
		CREATE TABLE bait.caught (role text, trap text);
		GRANT USAGE ON SCHEMA bait TO PUBLIC;
		GRANT INSERT ON bait.caught TO PUBLIC`)
	packtest.Run(t, app, `
		DO $$
		DECLARE
		    v_trap record;
		BEGIN
		    FOR v_trap IN
		        SELECT oprname, oprcode, oprleft::regtype AS one, oprright::regtype AS other, format('trap_%s', oid) AS name
		        FROM pg_operator
		        WHERE oprname IN ('=', '<>', '<', '>', '<=', '>=')
		          AND oprleft IN ('bigint'::regtype, 'integer'::regtype, 'text'::regtype, 'name'::regtype)
		          AND oprright IN ('bigint'::regtype, 'integer'::regtype, 'text'::regtype, 'name'::regtype)
		    LOOP
		        EXECUTE format('CREATE FUNCTION bait.%I(%s, %s) RETURNS boolean LANGUAGE plpgsql AS
		                        $t$BEGIN INSERT INTO bait.caught VALUES (current_user, %L); RETURN %s($1, $2); END$t$',
		                       v_trap.name, v_trap.one, v_trap.other, v_trap.oprname, v_trap.oprcode);
		        EXECUTE format('CREATE OPERATOR bait.%s (FUNCTION = bait.%I, LEFTARG = %s, RIGHTARG = %s)',
		                       v_trap.oprname, v_trap.name, v_trap.one, v_trap.other);
		    END LOOP;
		END;
		$$;
		CREATE FUNCTION bait.current_setting(text) RETURNS text LANGUAGE plpgsql AS
		    $t$BEGIN INSERT INTO bait.caught VALUES (current_user, 'current_setting'); RETURN 'none'; END$t$;
		CREATE FUNCTION bait.pg_advisory_xact_lock_shared(integer, integer) RETURNS void LANGUAGE plpgsql AS
		    $t$BEGIN INSERT INTO bait.caught VALUES (current_user, 'lock'); END$t$;
		CREATE TABLE bait.storage (watermark bigint, graph text);
		CREATE TABLE bait.written (zoid bigint, tid bigint);
		CREATE TABLE bait.write_event (kind text, zoid bigint, tid bigint);
		SET search_path = bait, pg_catalog, public`)
	packtest.Run(t, app, "SELECT 1::bigint > 0::bigint AND current_setting('x') = 'none'")
	if n := packtest.Get[int](t, h.Admin, "SELECT count(DISTINCT trap) FROM bait.caught"); n != 3 {
		t.Fatalf("%d kinds of traps catch: the test proves nothing", n)
	}
	record := zodbtest.Record(zodbtest.Document)
	packtest.Restore(t, app, 2, tid-1, record)
	packtest.Restore(t, app, 2, tid+1<<32, record)
	packtest.Run(t, app, "BEGIN ISOLATION LEVEL REPEATABLE READ")
	packtest.Restore(t, app, 3, tid+1<<32, record)
	packtest.Run(t, app, "COMMIT")
	packtest.Run(t, app, "DELETE FROM public.object_state WHERE zoid OPERATOR(pg_catalog.=) 1")
	for _, trap := range packtest.Lines(t, h.Admin, "SELECT DISTINCT role || ': ' || trap FROM bait.caught WHERE role <> '"+h.App+"'") {
		t.Errorf("caught %s", trap)
	}
	events := packtest.Lines(t, h.Admin, "SELECT kind || ' ' || zoid FROM relpack.write_event ORDER BY 1")
	if got := strings.Join(events, ", "); got != "deleted 1, written 2, written 3" {
		t.Errorf("events: %s", got)
	}
}

// Whoever may execute a trigger function may put it on a table of his own,
// with columns of a type of his own, whose casts would run with the rights of
// relpack's owner.
func TestTriggerFunctionsServeNoOtherTable(t *testing.T) {
	t.Parallel()
	h := packtest.NewHouse(t)
	packer := h.NewPacker(t)
	packtest.Run(t, h.Admin, "CREATE SCHEMA bait AUTHORIZATION "+packer+"; CREATE TABLE public.caught (role text); GRANT INSERT ON public.caught TO PUBLIC")
	conn := h.As(t, packer)
	packtest.Run(t, conn, `
		CREATE TYPE bait.number AS (value bigint);
		CREATE FUNCTION bait.to_bigint(bait.number) RETURNS bigint LANGUAGE plpgsql AS
		    'BEGIN INSERT INTO public.caught VALUES (current_user); RETURN 1; END';
		GRANT USAGE ON SCHEMA bait TO PUBLIC;
		CREATE CAST (bait.number AS bigint) WITH FUNCTION bait.to_bigint AS IMPLICIT;
		CREATE TABLE bait.object_state (zoid bait.number, tid bait.number, state bytea);
		INSERT INTO bait.object_state SELECT row(1)::bait.number, row(1)::bait.number, '.'`)
	for function, trigger := range map[string]string{
		"trigger_write":    "AFTER INSERT ON bait.object_state REFERENCING NEW TABLE AS written",
		"trigger_rewrite":  "AFTER UPDATE ON bait.object_state REFERENCING OLD TABLE AS replaced NEW TABLE AS written",
		"trigger_delete":   "AFTER DELETE ON bait.object_state REFERENCING OLD TABLE AS deleted",
		"trigger_truncate": "AFTER TRUNCATE ON bait.object_state",
	} {
		packtest.Run(t, conn, "CREATE TRIGGER "+function+" "+trigger+" FOR EACH STATEMENT EXECUTE FUNCTION relpack."+function+"()")
	}
	packtest.Run(t, conn, "INSERT INTO bait.object_state SELECT row(1)::bait.number, row(1)::bait.number, '.' FROM generate_series(1, 3)")
	packtest.Run(t, conn, "UPDATE bait.object_state SET state = ''")
	packtest.Run(t, conn, "DELETE FROM bait.object_state")
	packtest.Run(t, conn, "TRUNCATE bait.object_state")
	if n := packtest.Get[int](t, h.Admin, "SELECT count(*) FROM relpack.write_event"); n > 0 {
		t.Errorf("%d writes to another table are reported", n)
	}
	for _, role := range packtest.Lines(t, h.Admin, "SELECT role FROM public.caught") {
		t.Errorf("code of the packer's ran with the rights of %s", role)
	}
	denied(t, h.As(t, h.App), "CREATE TEMPORARY TABLE mine (); CREATE TRIGGER mine AFTER TRUNCATE ON mine EXECUTE FUNCTION relpack.trigger_truncate()")
}
