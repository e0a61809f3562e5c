package pack_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// lostParents are ways in which a live object comes to be taken for garbage.
var lostParents = map[string]func(t *testing.T, conn *pgx.Conn){
	"a live object is detached": func(t *testing.T, conn *pgx.Conn) {
		packtest.Run(t, conn, "UPDATE relpack.object SET parent = NULL WHERE zoid = 2")
	},
	"and all that it refers to": func(t *testing.T, conn *pgx.Conn) {
		packtest.Run(t, conn, "UPDATE relpack.object SET parent = NULL WHERE zoid IN (2, 3, 4)")
	},
	"and it was chosen before": func(t *testing.T, conn *pgx.Conn) {
		packtest.Run(t, conn, `UPDATE relpack.object SET parent = NULL WHERE zoid = 2;
			INSERT INTO relpack.doomed VALUES (2); UPDATE relpack.storage SET begun_until = doomed_until, doomed_tid = 0`)
	},
	// As who holds the pack lock can.
	"suspects of an unfinished run are lost": func(t *testing.T, conn *pgx.Conn) {
		packtest.Commit(t, conn, packtest.Links{1: nil, 10: nil})
		packtest.Run(t, conn, "SELECT relpack.capture_watermark()")
		packtest.Run(t, conn, "SELECT relpack.capture_list()")
		packtest.Run(t, conn, "INSERT INTO relpack.suspect VALUES (2, 'climb')")
		packtest.Run(t, conn, "UPDATE relpack.object SET parent = NULL WHERE zoid = 2")
		packtest.Run(t, conn, "SELECT pg_advisory_lock(-2); DELETE FROM relpack.suspect; SELECT pg_advisory_unlock(-2)")
	},
}

// newHeld is a storage with garbage and 2, to which 1 and 5 refer, as packed once.
func newHeld(t *testing.T) (target.Target, *pgx.Conn) {
	t.Helper()
	target, conn := packtest.NewStorage(t)
	packtest.Commit(t, conn, packtest.Links{0: {1, 5}, 1: {2}, 2: {3, 4}, 3: {4}, 4: {2}, 5: {2}, 10: {11}, 11: {10, 2}})
	packtest.DryRun(t, target)
	packtest.Run(t, conn, "UPDATE relpack.storage SET doomed_tid = 0") // to be chosen again
	return target, conn
}

func TestNothingIsDeletedThatALiveObjectRefersTo(t *testing.T) {
	t.Parallel()
	for name, lose := range lostParents {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := newHeld(t)
			all := packtest.Stored(t, conn)
			lose(t, conn)
			_, err := conn.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
			packtest.ExpectState(t, err, fault.StateRefused)
			packtest.ExpectStored(t, conn, all...)
			_, err = pack.Run(t.Context(), target, packtest.Everything, packtest.Log(t))
			packtest.ExpectError(t, err, fault.ExitRefused, "live objects refer to what would be deleted: zoid 2 (from", "It is mended now")
			packtest.ExpectStored(t, conn, all...)
			packtest.ExpectExact(t, conn)
			packtest.Pack(t, target, packtest.Everything)
			packtest.ExpectStored(t, conn, 0, 1, 2, 3, 4, 5)
			packtest.ExpectSound(t, target)
		})
	}
}

// A run that ends before it has mended what it found leaves it to the next.
func TestWhatALiveObjectRefersToIsNamedByEveryChoice(t *testing.T) {
	t.Parallel()
	target, conn := newHeld(t)
	packtest.Run(t, conn, "UPDATE relpack.object SET parent = NULL WHERE zoid IN (2, 3, 4)")
	for range 2 {
		_, err := conn.Exec(t.Context(), "SELECT relpack.doom(NULL)")
		packtest.ExpectError(t, err, fault.ExitRefused, "live objects refer to what would be deleted: zoid 2 (from 1)", "relpack pack")
	}
	packtest.ExpectNothingDeleted(t, target)
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2, 3, 4, 5)
}

// Without the last look it is deleted by whoever calls the sweep: nothing else
// stops it.
func TestWithoutTheLastLookALiveObjectGoes(t *testing.T) {
	t.Parallel()
	_, conn := newHeld(t)
	text, err := zodbtest.Mutated("doom_choose", "PERFORM relpack.require_cut_off();", "NULL;")
	if err != nil {
		t.Fatal(err)
	}
	packtest.Run(t, conn, text)
	packtest.Run(t, conn, "UPDATE relpack.object SET parent = NULL WHERE zoid IN (2, 3, 4)")
	packtest.Run(t, conn, "SELECT relpack.sweep(1000, NULL)")
	packtest.ExpectStored(t, conn, 0, 1, 5)
}
