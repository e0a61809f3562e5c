package graph_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/pack"
	"relpack/runner/session"
)

// losing empties one of relpack's tables as somebody does who has switched its
// triggers off, or as a restore without its data.
func losing(t *testing.T, conn *pgx.Conn, table string) {
	t.Helper()
	trigger := "relpack_guard_" + strings.TrimPrefix(table, "object_")
	packtest.Run(t, conn, "ALTER TABLE relpack."+table+" DISABLE TRIGGER "+trigger+"; TRUNCATE relpack."+table+
		"; ALTER TABLE relpack."+table+" ENABLE ALWAYS TRIGGER "+trigger+
		"; UPDATE relpack.storage SET trigger_identity = relpack.trigger_identity()")
}

// Live objects have no parent while it is open which are alive.
func TestSuspectsThatAreLostAreFoundAgain(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.Commit(t, conn, packtest.Links{0: {1, 5}, 1: {2}, 2: {3}, 3: {}, 5: {}})
	packtest.DryRun(t, target)
	packtest.Commit(t, conn, packtest.Links{0: {5}, 5: {2}})
	packtest.DryRun(t, target)
	// As after a crash: what is cut off is applied, and nothing is settled.
	packtest.Spoil(t, conn, "UPDATE relpack.object SET parent = NULL WHERE zoid IN (2, 3); INSERT INTO relpack.suspect VALUES (2, 'climb'), (3, 'climb')")
	losing(t, conn, "suspect")
	_, err := conn.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
	packtest.ExpectState(t, err, fault.StateRefused)
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 2, 3, 5)
	packtest.ExpectExact(t, conn)
	if report := packtest.Pack(t, target, packtest.Everything); report.Compared {
		t.Error("compared again")
	}
}

// A run was abandoned between capture and apply: the row has an old tid.
func TestWhatIsPendingAndLostIsFoundAgain(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"pending", "write_event"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewGarden(t)
			tid := packtest.Get[int64](t, conn, "SELECT tid FROM object_state WHERE zoid = 2")
			packtest.Restore(t, conn, 2, tid, packtest.Document(10)) // no tid tells of it
			if table == "pending" {
				packtest.Run(t, conn, "SELECT relpack.capture_watermark()")
				packtest.Run(t, conn, "SELECT relpack.capture_list()")
			}
			losing(t, conn, table)
			_, err := conn.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
			packtest.ExpectState(t, err, fault.StateRefused)
			packtest.Pack(t, target, packtest.Everything)
			packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
			packtest.ExpectExact(t, conn)
		})
	}
}

// What can't be decoded forbids to delete, and what refers to another database
// to sweep that.
func TestWhatForbidsToDeleteAndIsLostIsFoundAgain(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.Commit(t, conn, packtest.Links{0: {1}, 2: {}, 3: {}})
	packtest.CommitRecords(t, conn, map[int64][]byte{1: []byte("\x80")})
	packtest.Commit(t, conn, packtest.Links{0: {1}})
	packtest.ExpectNothingDeleted(t, target)
	losing(t, conn, "problem")
	_, err := conn.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
	packtest.ExpectState(t, err, fault.StateRefused)
	for range 2 {
		packtest.ExpectNothingDeleted(t, target)
	}
	packtest.ExpectStored(t, conn, 0, 1, 2, 3)
}

func TestTablesThatKeepSomethingAliveAreEmptiedByThePackerOnly(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	for _, table := range []string{"missing", "write_event", "pending", "suspect", "problem", "foreign_reference", "capture"} {
		for _, statement := range []string{"DELETE FROM relpack." + table, "TRUNCATE relpack." + table} {
			_, err := conn.Exec(t.Context(), statement)
			packtest.ExpectError(t, err, fault.ExitRefused, "only the session that holds the pack lock may do that")
		}
	}
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2)
}

// A table that is renamed, or moved to another schema, takes relpack's triggers
// along: the site that follows it goes on.
func TestATableThatIsRenamedOrMovedIsWrittenAsIfRelpackWereNotThere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ table, away, back string }{
		"renamed": {"kept", "ALTER TABLE object_state RENAME TO kept", "ALTER TABLE kept RENAME TO object_state"},
		"moved": {"plone.object_state", "CREATE SCHEMA plone; ALTER TABLE object_state SET SCHEMA plone",
			"ALTER TABLE plone.object_state SET SCHEMA public"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewGarden(t)
			packtest.Run(t, conn, c.away)
			packtest.Run(t, conn, "INSERT INTO "+c.table+" (zoid, tid, state_size, state) SELECT 77, tid, state_size, state FROM "+c.table+" WHERE zoid = 2")
			packtest.Run(t, conn, "UPDATE "+c.table+" SET tid = 5, state = $1 WHERE zoid = 2", packtest.Document(10))
			packtest.Run(t, conn, "UPDATE "+c.table+" SET zoid = 78 WHERE zoid = 77")
			packtest.Run(t, conn, "DELETE FROM "+c.table+" WHERE zoid = 78")
			_, err := pack.Run(t.Context(), target, packtest.Everything, packtest.Log(t))
			if err == nil {
				t.Error("a storage without its table was packed")
			}
			// It is back, and has reported nothing of that.
			packtest.Run(t, conn, c.back)
			expectDoubt(t, target, conn, "relpack's triggers were disabled or replaced for a while")
			packtest.Pack(t, target, packtest.Everything)
			packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
			packtest.ExpectExact(t, conn)
		})
	}
}

// Whoever calls his session as relpack calls its own holds objects all the same.
func TestASessionIsRelpacksByMoreThanItsName(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	reader := packtest.Session(t, target)
	packtest.Run(t, reader, "SET application_name = 'relpack pack'; BEGIN; SELECT 1")
	since := packtest.Get[string](t, reader, "SELECT now()::text")
	if oldest := packtest.Get[string](t, conn, "SELECT relpack.grace_oldest_transaction()::text"); oldest != since {
		t.Errorf("the oldest transaction began at %q, and should at %q", oldest, since)
	}
	own, err := session.Open(t.Context(), target, "pack", packtest.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close(own)
	packtest.Run(t, reader, "COMMIT")
	packtest.Run(t, own, "BEGIN; SELECT 1")
	if oldest := packtest.Get[string](t, conn, "SELECT coalesce(relpack.grace_oldest_transaction()::text, 'none')"); oldest != "none" {
		t.Errorf("relpack's own transaction counts: %s", oldest)
	}
}
