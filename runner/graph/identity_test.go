package graph_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/pgtest"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// lose empties tables of the graph as a restore without their data does: with
// nothing left that could tell of it but the tables themselves.
func lose(t *testing.T, conn *pgx.Conn, statements ...string) {
	t.Helper()
	packtest.Run(t, conn, "ALTER TABLE relpack.object DISABLE TRIGGER USER; ALTER TABLE relpack.object_inref DISABLE TRIGGER USER")
	for _, statement := range statements {
		packtest.Run(t, conn, statement)
	}
	packtest.Run(t, conn, `ALTER TABLE relpack.object ENABLE ALWAYS TRIGGER relpack_guard_object;
		ALTER TABLE relpack.object_inref ENABLE ALWAYS TRIGGER relpack_guard_inref;
		UPDATE relpack.storage SET trigger_identity = relpack.trigger_identity()`)
}

func TestAGraphThatIsNotThereIsBuiltAnew(t *testing.T) {
	t.Parallel()
	const rewritten, gone = "relpack's own tables were emptied, rewritten or restored", "the graph is not there any more"
	for name, c := range map[string]struct {
		doubt      string
		statements []string
	}{
		"nodes truncated":      {rewritten, []string{"TRUNCATE relpack.object"}},
		"references truncated": {rewritten, []string{"TRUNCATE relpack.object_inref"}},
		"nodes deleted":        {gone, []string{"DELETE FROM relpack.object"}},
		"references deleted":   {gone, []string{"DELETE FROM relpack.object_inref"}},
		// By the same oids and files as before.
		"restored into a cluster made alike": {gone, []string{
			"DELETE FROM relpack.object", "DELETE FROM relpack.object_inref",
			"UPDATE relpack.storage SET graph_identity = relpack.graph_identity()"}},
		"a part of the references truncated": {rewritten, []string{
			"CREATE TEMPORARY TABLE kept AS SELECT * FROM relpack.object_inref WHERE inref <> 1",
			"TRUNCATE relpack.object_inref",
			"INSERT INTO relpack.object_inref SELECT * FROM kept"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewGarden(t)
			lose(t, conn, c.statements...)
			expectDoubt(t, target, conn, c.doubt)
			log := &pgtest.Log{}
			report, err := pack.Run(t.Context(), target, packtest.Everything, log.Logger())
			if err != nil || !report.FirstBuild {
				t.Errorf("%v, first build %v", err, report.FirstBuild)
			}
			packtest.ExpectWords(t, log.String(), "the graph is built again, as with --init")
			packtest.ExpectStored(t, conn, 0, 1, 2)
			packtest.ExpectExact(t, conn)
		})
	}
}

func TestTheGraphIsEmptiedByItsPackerOnly(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	for _, settings := range []string{"SELECT 1", "SET session_replication_role = replica"} {
		packtest.Run(t, conn, settings)
		for _, statement := range []string{
			"DELETE FROM relpack.object WHERE zoid = 1",
			"DELETE FROM relpack.object_inref",
			"TRUNCATE relpack.object",
			"TRUNCATE relpack.object_inref, relpack.object CASCADE",
		} {
			_, err := conn.Exec(t.Context(), statement)
			packtest.ExpectError(t, err, fault.ExitRefused, "only the session that holds the pack lock may do that", "relpack pack --init")
		}
	}
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2)
}

// Rows and columns may be rewritten in place, by nobody who fires a trigger.
func TestStatesRewrittenByAnAlterTableAreReadAgain(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.Run(t, conn, fmt.Sprintf(`ALTER TABLE object_state ALTER state TYPE bytea USING CASE zoid WHEN 2 THEN '\x%x'::bytea ELSE state END`, packtest.Document(10)))
	expectDoubt(t, target, conn, "columns of object_state were altered")
	log := &pgtest.Log{}
	report, err := pack.Run(t.Context(), target, packtest.Everything, log.Logger())
	if err != nil || !report.Compared || report.FirstBuild {
		t.Errorf("%v, compared %v, first build %v", err, report.Compared, report.FirstBuild)
	}
	packtest.ExpectWords(t, log.String(), "columns of object_state were altered: every state is read again and compared")
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
	packtest.ExpectExact(t, conn)
	if report := packtest.Pack(t, target, packtest.Everything); report.Compared {
		t.Error("compared again")
	}
}

// A run that ends between the capture and the last state read leaves it to the next.
func TestWhatWasNotReadAgainIsReadAgainByTheNextRun(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.Run(t, conn, fmt.Sprintf(`ALTER TABLE object_state ALTER state TYPE bytea USING CASE zoid WHEN 2 THEN '\x%x'::bytea ELSE state END`, packtest.Document(10)))
	packtest.Run(t, conn, "SELECT relpack.capture_watermark()")
	_, err := conn.Exec(t.Context(), "SELECT relpack.capture_list()")
	packtest.ExpectError(t, err, fault.ExitRefused, "every state must be read again first")
	_, err = conn.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
	packtest.ExpectState(t, err, fault.StateRefused)
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
	packtest.ExpectExact(t, conn)
}

func TestATableThatWasRewrittenIsCompared(t *testing.T) {
	t.Parallel()
	for name, statement := range map[string]string{
		"VACUUM FULL":        "VACUUM FULL object_state",
		"a volatile default": "ALTER TABLE object_state ADD COLUMN note double precision DEFAULT random()",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewGarden(t)
			packtest.Run(t, conn, statement)
			expectDoubt(t, target, conn, "object_state was rewritten")
			if report := packtest.Pack(t, target, packtest.Everything); !report.Compared || report.Scanned.Objects != 0 {
				t.Errorf("compared %v, %d states read", report.Compared, report.Scanned.Objects)
			}
			packtest.ExpectStored(t, conn, 0, 1, 2)
			packtest.ExpectExact(t, conn)
		})
	}
}

// What doesn't rewrite anything is no reason to compare.
func TestFurtherColumnsAndStatisticsRaiseNoDoubt(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.Run(t, conn, "ALTER TABLE object_state ADD COLUMN note text DEFAULT 'x'")
	packtest.Run(t, conn, "VACUUM (FREEZE, ANALYZE) object_state")
	packtest.Run(t, conn, "VACUUM (FREEZE) pg_attribute")
	packtest.Run(t, conn, "VACUUM (FREEZE) pg_trigger")
	if report := packtest.Pack(t, target, packtest.Everything); report.Compared {
		t.Errorf("compared: %s", report.Doubt)
	}
	packtest.ExpectStored(t, conn, 0, 1, 2)
}

// A table that is rewritten in the middle of a pack does not end it, nor a role that is let in.
func TestWhatIsDoneBeforeTheSweepIsComparedInTheSameRun(t *testing.T) {
	t.Parallel()
	for name, statement := range map[string]string{
		"VACUUM FULL": "VACUUM FULL object_state",
		"GRANT":       "GRANT USAGE ON SCHEMA relpack TO pg_monitor",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewGarden(t)
			o := packtest.Before("delete", func() { packtest.Run(t, conn, statement) })
			if report := packtest.Pack(t, target, o); !report.Compared {
				t.Error("nothing was compared")
			}
			packtest.ExpectStored(t, conn, 0, 1, 2)
			packtest.ExpectExact(t, conn)
		})
	}
}

// newSubscriber is a storage that receives all rows of another one.
func newSubscriber(t *testing.T) (publisher, subscriber *pgx.Conn, on target.Target) {
	t.Helper()
	server, err := pgtest.Start(t.Context(), pgtest.Options{Settings: map[string]string{"wal_level": "logical"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	// Publisher and subscriber are on one server: the slot has to be made beforehand.
	publisher = storageOn(t, server, "publisher")
	packtest.Commit(t, publisher, packtest.Garden)
	packtest.Run(t, publisher, "CREATE PUBLICATION zodb FOR TABLE object_state")
	packtest.Run(t, publisher, "SELECT pg_create_logical_replication_slot('zodb', 'pgoutput')")
	subscriber = storageOn(t, server, "subscriber")
	on = target.Target{Name: "main", DSN: server.DSN("subscriber"), CommitLockTimeout: target.DefaultLockTimeout, BatchTimeout: target.DefaultBatchTimeout}
	packtest.MigrateUp(t, on)
	packtest.Run(t, subscriber, fmt.Sprintf("CREATE SUBSCRIPTION zodb CONNECTION '%s' PUBLICATION zodb WITH (create_slot = false, slot_name = 'zodb')",
		strings.ReplaceAll(server.DSN("publisher"), "'", "''")))
	return publisher, subscriber, on
}

// received waits for an object that was replicated.
func received(t *testing.T, subscriber *pgx.Conn, zoid int64) {
	t.Helper()
	packtest.Until(t, fmt.Sprintf("object %d arrives", zoid), func() bool {
		return packtest.Get[bool](t, subscriber, "SELECT EXISTS (SELECT FROM object_state WHERE zoid = $1)", zoid)
	})
}

// A subscription that came and went between two packs leaves no trace in the
// catalogs: what it applied is reported row by row.
func TestRowsAppliedByASubscriptionThatIsGoneAreReported(t *testing.T) {
	t.Parallel()
	publisher, subscriber, target := newSubscriber(t)
	received(t, subscriber, 13)
	// As if there had been no subscription at the last capture.
	packtest.Run(t, subscriber, "ALTER SUBSCRIPTION zodb DISABLE; ALTER SUBSCRIPTION zodb SET (slot_name = NONE)")
	packtest.Until(t, "the subscriber rests", func() bool {
		return !packtest.Get[bool](t, publisher, "SELECT active FROM pg_replication_slots WHERE slot_name = 'zodb'")
	})
	packtest.Run(t, subscriber, "DROP SUBSCRIPTION zodb")
	packtest.DryRun(t, target)
	packtest.Run(t, subscriber, "INSERT INTO relpack.blob_removal (zoid, tid, since) SELECT zoid, tid, now() FROM object_state WHERE zoid IN (11, 13)")
	packtest.Run(t, subscriber, fmt.Sprintf("CREATE SUBSCRIPTION zodb CONNECTION '%s' PUBLICATION zodb WITH (create_slot = false, slot_name = 'zodb', copy_data = false)",
		strings.ReplaceAll(publisherDSN(target), "'", "''")))
	packtest.Restore(t, publisher, 2, 5, packtest.Document(11))
	packtest.Run(t, publisher, "DELETE FROM object_state WHERE zoid = 13")
	packtest.Commit(t, publisher, packtest.Links{30: nil})
	received(t, subscriber, 30)
	packtest.Run(t, subscriber, "DROP SUBSCRIPTION zodb")
	events := packtest.Lines(t, subscriber, "SELECT kind || ' ' || zoid FROM relpack.write_event ORDER BY 1")
	if got := strings.Join(events, ", "); got != "deleted 13, written 2" {
		t.Errorf("events: %s", got)
	}
	noted := packtest.Lines(t, subscriber, "SELECT zoid || ' ' || (since IS NOT NULL) FROM relpack.blob_removal ORDER BY 1")
	if got := strings.Join(noted, ", "); got != "11 true, 13 false" {
		t.Errorf("since when blobs wait is noted of: %s", got)
	}
	packtest.Run(t, subscriber, "DELETE FROM relpack.blob_removal")
	if report := packtest.Pack(t, target, packtest.Everything); report.Compared {
		t.Error("compared")
	}
	packtest.ExpectStored(t, subscriber, 0, 1, 2, 10, 11, 12, 30) // 30 bears the highest tid
	packtest.ExpectExact(t, subscriber)
}

func publisherDSN(target target.Target) string {
	return strings.Replace(target.DSN, "subscriber", "publisher", 1)
}
