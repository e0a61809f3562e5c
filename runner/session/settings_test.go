package session_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/session"
)

func TestWhatIsSetForApplicationsDoesNotReachRelpack(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	name := packtest.Get[string](t, conn, "SELECT quote_ident(current_database())")
	for _, setting := range []string{"standard_conforming_strings = off", "session_replication_role = replica", "array_nulls = off",
		"enable_nestloop = off", "enable_indexscan = off", "enable_sort = off", "default_transaction_read_only = on",
		"statement_timeout = '10s'", "exit_on_error = on", "quote_all_identifiers = on", "DateStyle = 'SQL, DMY'"} {
		packtest.Run(t, conn, fmt.Sprintf("ALTER DATABASE %s SET %s", name, setting))
	}
	own, err := session.Open(t.Context(), target, "test", packtest.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close(own)
	for _, s := range session.Settings {
		if got := packtest.Get[string](t, own, "SELECT coalesce(current_setting($1, true), '')", s[0]); got != s[1] && got != "" {
			t.Errorf("%s is %s", s[0], got)
		}
	}
	// A cascade is a trigger, which replicas don't fire.
	packtest.CommitAt(t, conn, 72*time.Hour, packtest.Links{0: {1}, 1: nil})
	if err := zodbtest.Commit(t.Context(), conn, zodbtest.TimeTid(time.Now().Add(-60*time.Hour)),
		map[int64][]byte{5: zodbtest.Record(zodbtest.Blob)}); err != nil {
		t.Fatal(err)
	}
	packtest.Run(t, conn, "INSERT INTO blob_chunk (zoid, tid, chunk_num, chunk) SELECT zoid, tid, 0, lo_create(0) FROM object_state WHERE zoid = 5")
	packtest.Commit(t, conn, packtest.Links{1: nil})
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1)
	if n := packtest.Get[int](t, conn, "SELECT count(*) FROM blob_chunk"); n != 0 {
		t.Errorf("%d chunks are left", n)
	}
}

func TestASweepInPsqlWithoutTriggersIsRefused(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.CommitAt(t, conn, 72*time.Hour, packtest.Links{0: {1}, 1: nil, 5: nil})
	packtest.Commit(t, conn, packtest.Links{1: nil})
	packtest.DryRun(t, target)
	packtest.Run(t, conn, "SET session_replication_role = replica")
	_, err := conn.Exec(t.Context(), "SELECT relpack.sweep()")
	if !fault.IsState(err, fault.StateRefused) {
		t.Errorf("the sweep says %v", err)
	}
	packtest.ExpectStored(t, conn, 0, 1, 5)
	packtest.Run(t, conn, "SET session_replication_role = origin; SELECT relpack.sweep()")
	packtest.ExpectStored(t, conn, 0, 1)
}

func TestTriggersOfOthersFindWhatTheDatabasesPathHas(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.Run(t, conn, fmt.Sprintf(`CREATE SCHEMA plone;
		CREATE TABLE plone.gone (zoid bigint);
		CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO gone VALUES (OLD.zoid); RETURN NULL; END';
		CREATE TRIGGER note AFTER DELETE ON object_state FOR EACH ROW EXECUTE FUNCTION note();
		ALTER DATABASE %s SET search_path = plone, public`, packtest.Get[string](t, conn, "SELECT quote_ident(current_database())")))
	packtest.CommitAt(t, conn, 72*time.Hour, packtest.Links{0: {1}, 1: nil, 5: nil})
	packtest.Commit(t, conn, packtest.Links{1: nil})
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1)
	if n := packtest.Get[int](t, conn, "SELECT count(*) FROM plone.gone"); n != 1 {
		t.Errorf("the trigger noted %d objects", n)
	}
}

func TestTheArgumentsOfAStatementAreToldAsTheyAreNumbered(t *testing.T) {
	t.Parallel()
	target, _ := packtest.NewStorage(t)
	var told strings.Builder
	own, err := session.Open(t.Context(), target, "test", slog.New(slog.NewTextHandler(&told, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close(own)
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeExec, pgx.QueryExecModeCacheDescribe} {
		told.Reset()
		var sum int
		if err := own.QueryRow(t.Context(), "SELECT $1::integer + $2::integer", mode, 40, 2).Scan(&sum); err != nil || sum != 42 {
			t.Fatal(sum, err)
		}
		if !strings.Contains(told.String(), `args="[40 2]"`) {
			t.Errorf("%s: %s", mode, told.String())
		}
	}
}
