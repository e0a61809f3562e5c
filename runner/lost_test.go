package runner

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/pack"
	"relpack/runner/session"
)

// losing empties one of relpack's tables as somebody does who has switched its
// triggers off, or as a restore without its data.
func losing(t *testing.T, conn *pgx.Conn, table string) {
	t.Helper()
	trigger := "relpack_guard_" + strings.TrimPrefix(table, "object_")
	run(t, conn, "ALTER TABLE relpack."+table+" DISABLE TRIGGER "+trigger+"; TRUNCATE relpack."+table+
		"; ALTER TABLE relpack."+table+" ENABLE ALWAYS TRIGGER "+trigger+
		"; UPDATE relpack.storage SET trigger_identity = relpack.trigger_identity()")
}

// Live objects have no parent while it is open which are alive.
func TestSuspectsThatAreLostAreFoundAgain(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	commit(t, conn, links{0: {1, 5}, 1: {2}, 2: {3}, 3: {}, 5: {}})
	dryRun(t, target)
	commit(t, conn, links{0: {5}, 5: {2}})
	dryRun(t, target)
	// As after a crash: what is cut off is applied, and nothing is settled.
	spoil(t, conn, "UPDATE relpack.object SET parent = NULL WHERE zoid IN (2, 3); INSERT INTO relpack.suspect VALUES (2, 'climb'), (3, 'climb')")
	losing(t, conn, "suspect")
	_, err := conn.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
	expectState(t, err, fault.StateRefused)
	packStorage(t, target, everything)
	expectStored(t, conn, 0, 2, 3, 5)
	expectExact(t, conn)
	if report := packStorage(t, target, everything); report.Compared {
		t.Error("compared again")
	}
}

// A run was abandoned between capture and apply: the row has an old tid.
func TestWhatIsPendingAndLostIsFoundAgain(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"pending", "write_event"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			target, conn := newGarden(t)
			tid := get[int64](t, conn, "SELECT tid FROM object_state WHERE zoid = 2")
			restore(t, conn, 2, tid, document(10)) // no tid tells of it
			if table == "pending" {
				run(t, conn, "SELECT relpack.capture_watermark()")
				run(t, conn, "SELECT relpack.capture_list()")
			}
			losing(t, conn, table)
			_, err := conn.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
			expectState(t, err, fault.StateRefused)
			packStorage(t, target, everything)
			expectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
			expectExact(t, conn)
		})
	}
}

// What can't be decoded forbids to delete, and what refers to another database
// to sweep that.
func TestWhatForbidsToDeleteAndIsLostIsFoundAgain(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	commit(t, conn, links{0: {1}, 2: {}, 3: {}})
	commitRecords(t, conn, map[int64][]byte{1: []byte("\x80")})
	commit(t, conn, links{0: {1}})
	expectRefused(t, target)
	losing(t, conn, "problem")
	_, err := conn.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
	expectState(t, err, fault.StateRefused)
	for range 2 {
		expectRefused(t, target)
	}
	expectStored(t, conn, 0, 1, 2, 3)
}

func TestTablesThatKeepSomethingAliveAreEmptiedByThePackerOnly(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	for _, table := range []string{"missing", "write_event", "pending", "suspect", "problem", "foreign_reference", "capture"} {
		for _, statement := range []string{"DELETE FROM relpack." + table, "TRUNCATE relpack." + table} {
			_, err := conn.Exec(t.Context(), statement)
			expectError(t, err, fault.ExitRefused, "only the session that holds the pack lock may do that")
		}
	}
	packStorage(t, target, everything)
	expectStored(t, conn, 0, 1, 2)
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
			target, conn := newGarden(t)
			run(t, conn, c.away)
			run(t, conn, "INSERT INTO "+c.table+" (zoid, tid, state_size, state) SELECT 77, tid, state_size, state FROM "+c.table+" WHERE zoid = 2")
			run(t, conn, "UPDATE "+c.table+" SET tid = 5, state = $1 WHERE zoid = 2", document(10))
			run(t, conn, "UPDATE "+c.table+" SET zoid = 78 WHERE zoid = 77")
			run(t, conn, "DELETE FROM "+c.table+" WHERE zoid = 78")
			_, err := pack.Run(t.Context(), target, everything, testLog(t))
			if err == nil {
				t.Error("a storage without its table was packed")
			}
			// It is back, and has reported nothing of that.
			run(t, conn, c.back)
			expectDoubt(t, target, conn, "relpack's triggers were disabled or replaced for a while")
			packStorage(t, target, everything)
			expectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
			expectExact(t, conn)
		})
	}
}

// Whoever calls his session as relpack calls its own holds objects all the same.
func TestASessionIsRelpacksByMoreThanItsName(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	reader := sessionOn(t, target)
	run(t, reader, "SET application_name = 'relpack pack'; BEGIN; SELECT 1")
	since := get[string](t, reader, "SELECT now()::text")
	if oldest := get[string](t, conn, "SELECT relpack.grace_oldest_transaction()::text"); oldest != since {
		t.Errorf("the oldest transaction began at %q, and should at %q", oldest, since)
	}
	own, err := session.Open(t.Context(), target, "pack", testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close(own)
	run(t, reader, "COMMIT")
	run(t, own, "BEGIN; SELECT 1")
	if oldest := get[string](t, conn, "SELECT coalesce(relpack.grace_oldest_transaction()::text, 'none')"); oldest != "none" {
		t.Errorf("relpack's own transaction counts: %s", oldest)
	}
}
