package runner

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
)

func setTriggers(t *testing.T, conn *pgx.Conn, how string) {
	t.Helper()
	for _, trigger := range zoidTriggers(t, conn) {
		if how == "ENABLE ALWAYS" && trigger == "relpack_report_applied" {
			run(t, conn, "ALTER TABLE object_state ENABLE REPLICA TRIGGER "+trigger)
			continue
		}
		run(t, conn, "ALTER TABLE object_state "+how+" TRIGGER "+trigger)
	}
}

func TestDisabledTriggersAreRefusedAndWhatTheyMissedIsFoundByComparing(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	setTriggers(t, conn, "DISABLE")
	restore(t, conn, 2, 5, zodbtest.Record(zodbtest.Document, 10))
	run(t, conn, "DELETE FROM object_state WHERE zoid = 12")
	expectRefused(t, target)
	_, err := conn.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
	expectState(t, err, fault.StateRefused)
	// Enabled, but not as ours were: they would not fire for a replica.
	setTriggers(t, conn, "ENABLE")
	expectRefused(t, target)
	setTriggers(t, conn, "ENABLE ALWAYS")
	_, err = conn.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
	expectState(t, err, fault.StateRefused)
	report := packStorage(t, target, everything)
	if !report.Compared {
		t.Error("nothing was compared")
	}
	if report.Scanned.Objects != 1 {
		t.Errorf("%d states were read, want 1", report.Scanned.Objects)
	}
	expectStored(t, conn, 0, 1, 2, 10, 11, 13)
	expectExact(t, conn)
	if report := packStorage(t, target, everything); report.Compared {
		t.Error("compared again")
	}
}

func TestOneTriggerThatWasOffForAMomentIsNoticed(t *testing.T) {
	t.Parallel()
	for _, trigger := range []string{"relpack_lock_writer", "relpack_report_insert", "relpack_report_update", "relpack_report_delete", "relpack_report_truncate", "relpack_report_move"} {
		t.Run(trigger, func(t *testing.T) {
			t.Parallel()
			target, conn := newGarden(t)
			run(t, conn, "ALTER TABLE object_state DISABLE TRIGGER "+trigger)
			restore(t, conn, 2, 5, zodbtest.Record(zodbtest.Document, 11))
			run(t, conn, "ALTER TABLE object_state ENABLE ALWAYS TRIGGER "+trigger)
			if report := packStorage(t, target, everything); !report.Compared {
				t.Error("nothing was compared")
			}
			expectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
		})
	}
}

func TestTriggersSwitchedOffBeforeASweepStopIt(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	_, err := pack.Run(t.Context(), target, before("delete", func() {
		setTriggers(t, conn, "DISABLE")
		restore(t, conn, 2, 5, zodbtest.Record(zodbtest.Document, 11))
		setTriggers(t, conn, "ENABLE ALWAYS")
	}), testLog(t))
	expectError(t, err, fault.ExitRefused, "triggers were disabled or replaced for a while")
	expectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
	packStorage(t, target, everything)
	expectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
}

// A sweep that has looked at the triggers, and found them in force, looks again
// before its batch is committed.
func TestTriggersSwitchedOffDuringASweepStopIt(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	gate := sessionOn(t, target)
	run(t, gate, "BEGIN; LOCK TABLE relpack.doomed") // from which the batch is chosen
	sweeper, swept := sweeping(t, target)
	waiting(t, conn, sweeper.PgConn().PID())
	setTriggers(t, conn, "DISABLE")
	restore(t, conn, 2, 5, zodbtest.Record(zodbtest.Document, 11))
	setTriggers(t, conn, "ENABLE ALWAYS")
	run(t, gate, "ROLLBACK")
	if got := <-swept; got != "stale" {
		t.Errorf("outcome %s, want stale", got)
	}
	expectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
	packStorage(t, target, everything)
	expectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
}

func TestRowsOfAReplicaAreReported(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	run(t, conn, "SET session_replication_role = replica")
	restore(t, conn, 2, 5, zodbtest.Record(zodbtest.Document, 10))
	run(t, conn, "RESET session_replication_role")
	if report := packStorage(t, target, everything); report.Compared {
		t.Error("compared")
	}
	expectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
}

func TestAnotherTableInPlaceOfTheOldOneIsCompared(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	run(t, conn, `SET client_min_messages = warning;
		ALTER TABLE object_state RENAME TO older;
		ALTER INDEX object_state_pkey RENAME TO older_pkey;
		ALTER INDEX object_state_tid RENAME TO older_tid;
		CREATE TABLE object_state (LIKE older INCLUDING ALL);
		INSERT INTO object_state SELECT * FROM older;
		SELECT relpack.create_triggers()`)
	restore(t, conn, 2, 5, zodbtest.Record(zodbtest.Document, 10))
	_, err := conn.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
	expectState(t, err, fault.StateRefused)
	if report := packStorage(t, target, everything); !report.Compared {
		t.Error("nothing was compared")
	}
	expectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
}

func TestAStorageWithoutItsRootIsNotPacked(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	run(t, conn, "DELETE FROM object_state WHERE zoid = 0")
	expectRefused(t, target)
	o := everything
	o.Init = true
	_, err := pack.Run(t.Context(), target, o, testLog(t))
	expectError(t, err, fault.ExitRefused, "no root object", "Restore object 0")
	expectStored(t, conn, 1, 2, 10, 11, 12, 13)
	if n := get[int64](t, conn, "SELECT count(*) FROM relpack.object"); n == 0 {
		t.Error("the graph was forgotten, and none can be built")
	}
	run(t, conn, "DELETE FROM object_state")
	expectRefused(t, target)
}

func TestTheRootDeletedDuringAPackStopsIt(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	_, err := pack.Run(t.Context(), target, before("delete", func() {
		run(t, conn, "DELETE FROM object_state WHERE zoid = 0")
	}), testLog(t))
	expectError(t, err, fault.ExitRefused, "no root object", "Restore object 0")
	expectStored(t, conn, 1, 2, 10, 11, 12, 13)
}

func TestTheHighestTidFallenBackIsNoticed(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	commit(t, conn, links{1: {2}, 3: nil})
	dryRun(t, target)
	// As after a restore of the server to an earlier moment, but for our tables.
	setTriggers(t, conn, "DISABLE")
	run(t, conn, "DELETE FROM object_state WHERE zoid = 3; UPDATE object_state SET tid = 5 WHERE zoid = 1")
	setTriggers(t, conn, "ENABLE ALWAYS")
	run(t, conn, "UPDATE relpack.storage SET trigger_identity = relpack.trigger_identity()")
	_, err := conn.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
	expectState(t, err, fault.StateRefused)
	if report := packStorage(t, target, everything); !report.Compared {
		t.Error("nothing was compared")
	}
	expectExact(t, conn)
}

// An init forgets everything, and builds the same again.
func TestInitBuildsTheSameGraphAgain(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	commit(t, conn, links{2: {11}})
	spoil(t, conn, "UPDATE relpack.object SET parent = NULL WHERE zoid IN (1, 2); DELETE FROM relpack.object_inref WHERE inref = 0")
	o := everything
	o.Init = true
	packStorage(t, target, o)
	expectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
	expectExact(t, conn)
}

// A capture notes by what it will recognise the triggers, and it must be what
// it looked at: here they are switched off for a while between the two.
func TestTriggersSwitchedOffDuringACaptureAreNoticed(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	run(t, conn, `
		ALTER FUNCTION relpack.doubt() RENAME TO doubt_at_once;
		CREATE FUNCTION relpack.doubt() RETURNS text LANGUAGE plpgsql AS $$
		DECLARE
			v_doubt text := relpack.doubt_at_once();
		BEGIN
			PERFORM pg_advisory_xact_lock_shared(4711, 4711);
			RETURN v_doubt;
		END $$;
		SELECT pg_advisory_lock(4711, 4711)`)
	packer := sessionOn(t, target)
	captured := make(chan error, 1)
	go func() {
		_, err := packer.Exec(t.Context(), "SELECT relpack.capture_watermark()")
		captured <- err
	}()
	waiting(t, conn, packer.PgConn().PID())
	setTriggers(t, conn, "DISABLE")
	restore(t, conn, 2, 5, document(11))
	setTriggers(t, conn, "ENABLE ALWAYS")
	run(t, conn, "SELECT pg_advisory_unlock(4711, 4711)")
	if err := <-captured; err != nil {
		t.Fatal(err)
	}
	if report := packStorage(t, target, everything); !report.Compared {
		t.Error("nothing was compared")
	}
	expectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
}

// Triggers of a statement fire for the table that it names. Rows that come and
// go by way of another table would be read, and missed later.
func TestATableWithRelativesIsNotPacked(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"an heir":  "CREATE TABLE heir () INHERITS (object_state)",
		"a parent": "CREATE TABLE parent (zoid bigint NOT NULL); ALTER TABLE object_state INHERIT parent",
		"partitions": `ALTER TABLE object_state RENAME TO older;
			CREATE TABLE object_state (LIKE older INCLUDING DEFAULTS) PARTITION BY HASH (zoid);
			CREATE TABLE part PARTITION OF object_state FOR VALUES WITH (MODULUS 1, REMAINDER 0);
			INSERT INTO object_state SELECT * FROM older;
			SELECT relpack.create_triggers()`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := newGarden(t)
			run(t, conn, sql)
			_, err := conn.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
			expectState(t, err, fault.StateRefused)
			for _, init := range []bool{false, true} {
				o := everything
				o.Init = init
				_, err := pack.Run(t.Context(), target, o, testLog(t))
				expectError(t, err, fault.ExitRefused, "no plain table")
			}
			expectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
		})
	}
}
