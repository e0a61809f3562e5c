package graph_test

import (
	"testing"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
)

func TestDisabledTriggersAreRefusedAndWhatTheyMissedIsFoundByComparing(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.SetTriggers(t, conn, "DISABLE")
	packtest.Restore(t, conn, 2, 5, zodbtest.Record(zodbtest.Document, 10))
	packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid = 12")
	packtest.ExpectNothingDeleted(t, target)
	_, err := conn.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
	packtest.ExpectState(t, err, fault.StateRefused)
	// Enabled, but not as ours were: they would not fire for a replica.
	packtest.SetTriggers(t, conn, "ENABLE")
	packtest.ExpectNothingDeleted(t, target)
	packtest.SetTriggers(t, conn, "ENABLE ALWAYS")
	_, err = conn.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
	packtest.ExpectState(t, err, fault.StateRefused)
	report := packtest.Pack(t, target, packtest.Everything)
	if !report.Compared {
		t.Error("nothing was compared")
	}
	if report.Scanned.Objects != 1 {
		t.Errorf("%d states were read, want 1", report.Scanned.Objects)
	}
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 13)
	packtest.ExpectExact(t, conn)
	if report := packtest.Pack(t, target, packtest.Everything); report.Compared {
		t.Error("compared again")
	}
}

func TestOneTriggerThatWasOffForAMomentIsNoticed(t *testing.T) {
	t.Parallel()
	for _, trigger := range []string{"relpack_lock_writer", "relpack_report_insert", "relpack_report_update", "relpack_report_delete", "relpack_report_truncate", "relpack_report_move"} {
		t.Run(trigger, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewGarden(t)
			packtest.Run(t, conn, "ALTER TABLE object_state DISABLE TRIGGER "+trigger)
			packtest.Restore(t, conn, 2, 5, zodbtest.Record(zodbtest.Document, 11))
			packtest.Run(t, conn, "ALTER TABLE object_state ENABLE ALWAYS TRIGGER "+trigger)
			if report := packtest.Pack(t, target, packtest.Everything); !report.Compared {
				t.Error("nothing was compared")
			}
			packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
		})
	}
}

func TestTriggersSwitchedOffBeforeASweepStopIt(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	_, err := pack.Run(t.Context(), target, packtest.Before("delete", func() {
		packtest.SetTriggers(t, conn, "DISABLE")
		packtest.Restore(t, conn, 2, 5, zodbtest.Record(zodbtest.Document, 11))
		packtest.SetTriggers(t, conn, "ENABLE ALWAYS")
	}), packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "triggers were disabled or replaced for a while")
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
}

// A sweep that has looked at the triggers, and found them in force, looks again
// before its batch is committed.
func TestTriggersSwitchedOffDuringASweepStopIt(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	gate := packtest.Session(t, target)
	packtest.Run(t, gate, "BEGIN; LOCK TABLE relpack.doomed") // from which the batch is chosen
	sweeper, swept := packtest.Sweeping(t, target)
	packtest.UntilWaiting(t, conn, sweeper.PgConn().PID())
	packtest.SetTriggers(t, conn, "DISABLE")
	packtest.Restore(t, conn, 2, 5, zodbtest.Record(zodbtest.Document, 11))
	packtest.SetTriggers(t, conn, "ENABLE ALWAYS")
	packtest.Run(t, gate, "ROLLBACK")
	if got := <-swept; got != "stale" {
		t.Errorf("outcome %s, want stale", got)
	}
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
}

func TestRowsOfAReplicaAreReported(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.Run(t, conn, "SET session_replication_role = replica")
	packtest.Restore(t, conn, 2, 5, zodbtest.Record(zodbtest.Document, 10))
	packtest.Run(t, conn, "RESET session_replication_role")
	if report := packtest.Pack(t, target, packtest.Everything); report.Compared {
		t.Error("compared")
	}
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
}

func TestAnotherTableInPlaceOfTheOldOneIsCompared(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.Run(t, conn, `SET client_min_messages = warning;
		ALTER TABLE object_state RENAME TO older;
		ALTER INDEX object_state_pkey RENAME TO older_pkey;
		ALTER INDEX object_state_tid RENAME TO older_tid;
		CREATE TABLE object_state (LIKE older INCLUDING ALL);
		INSERT INTO object_state SELECT * FROM older;
		SELECT relpack.create_triggers()`)
	packtest.Restore(t, conn, 2, 5, zodbtest.Record(zodbtest.Document, 10))
	_, err := conn.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
	packtest.ExpectState(t, err, fault.StateRefused)
	if report := packtest.Pack(t, target, packtest.Everything); !report.Compared {
		t.Error("nothing was compared")
	}
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
}

func TestAStorageWithoutItsRootIsNotPacked(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid = 0")
	packtest.ExpectNothingDeleted(t, target)
	o := packtest.Everything
	o.Init = true
	_, err := pack.Run(t.Context(), target, o, packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "no root object", "Restore object 0")
	packtest.ExpectStored(t, conn, 1, 2, 10, 11, 12, 13)
	if n := packtest.Get[int64](t, conn, "SELECT count(*) FROM relpack.object"); n == 0 {
		t.Error("the graph was forgotten, and none can be built")
	}
	packtest.Run(t, conn, "DELETE FROM object_state")
	packtest.ExpectNothingDeleted(t, target)
	_, err = pack.Run(t.Context(), target, packtest.Everything, packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "the storage is empty", "opens the storage for the first time")
}

func TestAStorageWhoseRootHasNoStateIsNotPacked(t *testing.T) {
	t.Parallel()
	for _, none := range []string{"NULL", "''"} {
		target, conn := packtest.NewGarden(t)
		packtest.Run(t, conn, "UPDATE object_state SET state = "+none+" WHERE zoid = 0")
		for range 2 {
			_, err := pack.Run(t.Context(), target, packtest.Everything, packtest.Log(t))
			packtest.ExpectError(t, err, fault.ExitRefused, "the root object (zoid 0) has no state", "Restore the state of object 0")
		}
		packtest.ExpectWords(t, packtest.Status(t, target), "not trusted: the root object (zoid 0) has no state")
		packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
	}
}

func TestTheRootEmptiedDuringAPackStopsIt(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	_, err := pack.Run(t.Context(), target, packtest.Before("delete", func() {
		packtest.Run(t, conn, "UPDATE object_state SET state = NULL WHERE zoid = 0")
	}), packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "the root object (zoid 0) has no state")
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
}

func TestTheRootDeletedDuringAPackStopsIt(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	_, err := pack.Run(t.Context(), target, packtest.Before("delete", func() {
		packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid = 0")
	}), packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "no root object", "Restore object 0")
	packtest.ExpectStored(t, conn, 1, 2, 10, 11, 12, 13)
}

func TestTheHighestTidFallenBackIsNoticed(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.Commit(t, conn, packtest.Links{1: {2}, 3: nil})
	packtest.DryRun(t, target)
	// As after a restore of the server to an earlier moment, but for our tables.
	packtest.SetTriggers(t, conn, "DISABLE")
	packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid = 3; UPDATE object_state SET tid = 5 WHERE zoid = 1")
	packtest.SetTriggers(t, conn, "ENABLE ALWAYS")
	packtest.Run(t, conn, "UPDATE relpack.storage SET trigger_identity = relpack.trigger_identity()")
	_, err := conn.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
	packtest.ExpectState(t, err, fault.StateRefused)
	if report := packtest.Pack(t, target, packtest.Everything); !report.Compared {
		t.Error("nothing was compared")
	}
	packtest.ExpectExact(t, conn)
}

// An init forgets everything, and builds the same again.
func TestInitBuildsTheSameGraphAgain(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.Commit(t, conn, packtest.Links{2: {11}})
	packtest.Spoil(t, conn, "UPDATE relpack.object SET parent = NULL WHERE zoid IN (1, 2); DELETE FROM relpack.object_inref WHERE inref = 0")
	o := packtest.Everything
	o.Init = true
	packtest.Pack(t, target, o)
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
	packtest.ExpectExact(t, conn)
}

// A capture notes by what it will recognise the triggers, and it must be what
// it looked at: here they are switched off for a while between the two.
func TestTriggersSwitchedOffDuringACaptureAreNoticed(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.Run(t, conn, `
		ALTER FUNCTION relpack.doubt() RENAME TO doubt_at_once;
		CREATE FUNCTION relpack.doubt() RETURNS text LANGUAGE plpgsql AS $$
		DECLARE
			v_doubt text := relpack.doubt_at_once();
		BEGIN
			PERFORM pg_advisory_xact_lock_shared(4711, 4711);
			RETURN v_doubt;
		END $$;
		SELECT pg_advisory_lock(4711, 4711)`)
	packer := packtest.Session(t, target)
	captured := make(chan error, 1)
	go func() {
		_, err := packer.Exec(t.Context(), "SELECT relpack.capture_watermark()")
		captured <- err
	}()
	packtest.UntilWaiting(t, conn, packer.PgConn().PID())
	packtest.SetTriggers(t, conn, "DISABLE")
	packtest.Restore(t, conn, 2, 5, packtest.Document(11))
	packtest.SetTriggers(t, conn, "ENABLE ALWAYS")
	packtest.Run(t, conn, "SELECT pg_advisory_unlock(4711, 4711)")
	if err := <-captured; err != nil {
		t.Fatal(err)
	}
	if report := packtest.Pack(t, target, packtest.Everything); !report.Compared {
		t.Error("nothing was compared")
	}
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
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
			target, conn := packtest.NewGarden(t)
			packtest.Run(t, conn, sql)
			_, err := conn.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
			packtest.ExpectState(t, err, fault.StateRefused)
			for _, init := range []bool{false, true} {
				o := packtest.Everything
				o.Init = init
				_, err := pack.Run(t.Context(), target, o, packtest.Log(t))
				packtest.ExpectError(t, err, fault.ExitRefused, "no plain table")
			}
			packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
		})
	}
}
