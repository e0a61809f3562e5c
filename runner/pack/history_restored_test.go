package pack_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// restoreTrimmed restores the second of three revisions, of 10, 9 and 8 days ago, as it was
// before a trim, so that it can be undone: what it names is gone.
func restoreTrimmed(t *testing.T, h zodbtest.History, tids [3]int64) {
	t.Helper()
	packtest.Run(t, h.Conn, "UPDATE transaction SET packed = false WHERE tid = $1", tids[1])
	packtest.Run(t, h.Conn, "INSERT INTO object_state VALUES (7, $1, $2, NULL, length($3::bytea), $3)", tids[1], tids[0], page(1))
}

func packed(t *testing.T, h zodbtest.History, tid int64) bool {
	t.Helper()
	return packtest.Get[bool](t, h.Conn, "SELECT packed FROM transaction WHERE tid = $1", tid)
}

// eachKind does a test with a storage whose garbage is collected, and one whose is not.
func eachKind(t *testing.T, test func(t *testing.T, file target.Target, h zodbtest.History)) {
	t.Helper()
	for _, gc := range []string{"pack-gc true", "pack-gc false"} {
		t.Run(gc, func(t *testing.T) {
			t.Parallel()
			file, h := newStored(t, zodbtest.V42, gc)
			test(t, file, h)
		})
	}
}

// An undo of it would un-create the object, whatever the pack time is today.
func TestAPackToAnEarlierTimeMarksWhatWasRestoredOfATrimmedHistory(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, file target.Target, h zodbtest.History) {
		tids := threeRevisions(t, h)
		packtest.Pack(t, file, trimDays(5))
		restoreTrimmed(t, h, tids)
		if report := dryRun(t, file, 9.5); report.Trimmed.Marked != 1 {
			t.Errorf("a dry run would mark %d transactions", report.Trimmed.Marked)
		}
		if report := packtest.Pack(t, file, trimDays(9.5)); report.Trimmed.Marked != 1 {
			t.Errorf("%d transactions were marked", report.Trimmed.Marked)
		}
		if !packed(t, h, tids[1]) {
			t.Errorf("a restored transaction can be undone, which gives %s", undoGives(t, h.Conn, 7, tids[1]))
		}
		if packed(t, h, packtest.Get[int64](t, h.Conn, "SELECT max(tid) FROM transaction")) {
			t.Error("a transaction later than all trims can't be undone")
		}
		packtest.Run(t, h.Conn, "UPDATE transaction SET packed = false WHERE tid = $1", tids[1])
		packtest.Pack(t, file, trimDays(9.5))
		if !packed(t, h, tids[1]) {
			t.Error("who is marked no more makes no event, and is not marked again")
		}
	})
}

// trimAndDie removes the first two of three revisions, and says nothing of it at its end.
func trimAndDie(t *testing.T, h zodbtest.History, tids [3]int64) {
	t.Helper()
	packtest.Run(t, h.Conn, "SELECT relpack.try_pack_lock()")
	packtest.Run(t, h.Conn, "SELECT relpack.trim_settle()")
	packtest.Run(t, h.Conn, "SELECT relpack.trim_mark($1, 0, 100)", daysAgo(5))
	packtest.Run(t, h.Conn, "SELECT relpack.trim_batch((SELECT max(tid) FROM transaction WHERE tid <= $1), '{7,7}', $2)", daysAgo(5), tids[:2])
	packtest.Run(t, h.Conn, "SELECT relpack.release_pack_lock()")
}

// It was killed before it could say how far it came, and the graph is built again, or the
// row of relpack.storage was lost.
func TestWhatATrimTookThatDidNotEndIsKnown(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{false, true} {
		eachKind(t, func(t *testing.T, file target.Target, h zodbtest.History) {
			tids := threeRevisions(t, h)
			trimAndDie(t, h, tids)
			o := trimDays(9.5)
			if lost {
				packtest.Run(t, h.Conn, "DELETE FROM relpack.storage")
			} else {
				o.Init = !file.KeepsGarbage
			}
			restoreTrimmed(t, h, tids)
			packtest.Pack(t, file, o)
			if !packed(t, h, tids[1]) {
				t.Errorf("a restored transaction can be undone, which gives %s (row lost: %t)", undoGives(t, h.Conn, 7, tids[1]), lost)
			}
		})
	}
}

// The storage was loaded anew without a TRUNCATE, after the clock had been a year ahead: what
// is committed next was not there when all was packed.
func TestAStorageThatWentBackCanBeUndoneAgain(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, file target.Target, h zodbtest.History) {
		threeRevisions(t, h)
		store(t, h, daysAgo(-365), map[int64][]byte{0: page(7)})
		packtest.Pack(t, file, trimDays(-1))
		packtest.Run(t, h.Conn, "DELETE FROM current_object; DELETE FROM object_state; DELETE FROM transaction WHERE tid > 0")
		threeRevisions(t, h)
		packtest.Pack(t, file, trimDays(1))
		tid := store(t, h, daysAgo(0), map[int64][]byte{7: page(0)})
		packtest.Pack(t, file, trimDays(1))
		if packed(t, h, tid) {
			t.Error("what was committed since can't be undone")
		}
	})
}

// A capture takes note of a TRUNCATE, and a pack that keeps garbage makes none.
func TestHowFarATrimCameIsKnownWhereATruncateWasNotCaptured(t *testing.T) {
	t.Parallel()
	file, h := newStored(t, zodbtest.V42, "pack-gc true")
	threeRevisions(t, h)
	packtest.Pack(t, file, trimDays(9.5))
	packtest.Run(t, h.Conn, "TRUNCATE object_state, current_object, transaction, blob_chunk")
	packtest.Run(t, h.Conn, "INSERT INTO transaction (tid, username, description) VALUES (0, '', '')")
	tids := threeRevisions(t, h)
	for _, keeps := range []bool{true, false} {
		if keeps {
			file.KeepsGarbage = true
			packtest.Pack(t, file, trimDays(5))
			restoreTrimmed(t, h, tids)
		} else {
			file.KeepsGarbage = false
			packtest.Run(t, h.Conn, "UPDATE transaction SET packed = false WHERE tid = $1", tids[1])
		}
		packtest.Pack(t, file, trimDays(9.5))
		if !packed(t, h, tids[1]) {
			t.Errorf("a restored transaction can be undone, which gives %s (pack-gc %t)", undoGives(t, h.Conn, 7, tids[1]), !keeps)
		}
	}
}

// Somebody sets the site back, regrets it, and restores the newest transactions from a backup
// of before the trim; a pack has looked meanwhile.
func TestHowFarATrimCameIsKnownWhereTheNewestTransactionsWereAway(t *testing.T) {
	t.Parallel()
	file, h := newStored(t, zodbtest.V42, "pack-gc true")
	store(t, h, daysAgo(20), map[int64][]byte{0: page(7)})
	tids := threeRevisions(t, h)
	packtest.Pack(t, file, trimDays(5))
	for table, kept := range map[string]string{"transaction": "t", "object_state": "o", "current_object": "c"} {
		packtest.Run(t, h.Conn, fmt.Sprintf("CREATE TABLE %s AS SELECT * FROM %s WHERE tid > %d", kept, table, tids[0]))
	}
	for _, table := range []string{"current_object", "object_state", "transaction"} {
		packtest.Run(t, h.Conn, fmt.Sprintf("DELETE FROM %s WHERE tid > %d", table, tids[0]))
	}
	o := trimDays(5)
	o.DryRun = true
	_, err := pack.Run(t.Context(), file, o, packtest.Log(t))
	t.Log(err)
	packtest.Run(t, h.Conn, "INSERT INTO transaction SELECT * FROM t; INSERT INTO object_state SELECT * FROM o; INSERT INTO current_object SELECT * FROM c")
	restoreTrimmed(t, h, tids)
	packtest.Pack(t, file, trimDays(9.5))
	if !packed(t, h, tids[1]) {
		t.Errorf("a restored transaction can be undone, which gives %s", undoGives(t, h.Conn, 7, tids[1]))
	}
}

// Who has the table transaction for long (VACUUM FULL, ALTER TABLE) keeps a pack waiting, not
// the undos of the site with it.
func TestAPackDoesNotWaitForATableWithoutEnd(t *testing.T) {
	t.Parallel()
	file, h := newStored(t, zodbtest.V42, "pack-gc true")
	threeRevisions(t, h)
	packtest.Pack(t, file, trimDays(5))
	holder := packtest.Session(t, file)
	packtest.Run(t, holder, "BEGIN; LOCK TABLE transaction IN ACCESS EXCLUSIVE MODE")
	file.CommitLockTimeout = time.Second
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if _, err := pack.Run(ctx, file, trimDays(5), packtest.Log(t)); err == nil || ctx.Err() != nil {
		t.Errorf("a pack beside one who has locked transaction: %v", err)
	}
}

// relpack's schema, or its table, was elsewhere while an old revision was restored that
// refers to garbage: its triggers took that for a dump without relpack.
func TestWhatIsRestoredWhileTheSchemaIsElsewhereIsNoticed(t *testing.T) {
	t.Parallel()
	for name, way := range map[string][2]string{
		"table":  {"ALTER TABLE relpack.storage RENAME TO elsewhere", "ALTER TABLE relpack.elsewhere RENAME TO storage"},
		"schema": {"ALTER SCHEMA relpack RENAME TO elsewhere", "ALTER SCHEMA elsewhere RENAME TO relpack"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file, h := newHistory(t, zodbtest.V42)
			store(t, h, daysAgo(30), map[int64][]byte{0: page(1), 1: page(2), 2: page()})
			store(t, h, daysAgo(20), map[int64][]byte{1: page()})
			store(t, h, daysAgo(0.2), map[int64][]byte{0: page(1)})
			dryRun(t, file, 5)
			packtest.Run(t, h.Conn, way[0])
			if err := h.Restore(t.Context(), daysAgo(10), true, map[int64][]byte{1: page(2)}, nil); err != nil {
				t.Fatal(err)
			}
			packtest.Run(t, h.Conn, way[1])
			packtest.Pack(t, file, trimDays(5))
			expectObjects(t, h, "2 is referred to by 1", 0, 1, 2)
		})
	}
}

// The same when the row of relpack.storage was lost: transactions that are marked tell it.
func TestWhatWasTrimmedIsKnownWithoutTheRowOfTheStorage(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, file target.Target, h zodbtest.History) {
		tids := threeRevisions(t, h)
		packtest.Pack(t, file, trimDays(8)) // the very moment of the third
		packtest.Pack(t, file, trimDays(5))
		packtest.Run(t, h.Conn, "DELETE FROM relpack.storage")
		restoreTrimmed(t, h, tids)
		packtest.Pack(t, file, trimDays(9.5))
		if !packed(t, h, tids[1]) {
			t.Error("a restored transaction can be undone")
		}
	})
}

// Nothing of what is loaded then was trimmed: all that is later than the pack time can be
// undone.
func TestWhatIsLoadedIntoAnEmptiedStorageWasNotTrimmed(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, file target.Target, h zodbtest.History) {
		threeRevisions(t, h)
		packtest.Pack(t, file, trimDays(5))
		packtest.Run(t, h.Conn, "TRUNCATE object_state, current_object, transaction, blob_chunk")
		packtest.Run(t, h.Conn, "INSERT INTO transaction (tid, username, description) VALUES (0, '', '')")
		tids := threeRevisions(t, h)
		for range 2 {
			packtest.Pack(t, file, trimDays(9.5))
			if !packed(t, h, tids[0]) || packed(t, h, tids[1]) || packed(t, h, tids[2]) {
				t.Error("others are marked than those up to the pack time")
			}
		}
		packtest.Pack(t, file, trimDays(8.5))
		packtest.Run(t, h.Conn, "UPDATE transaction SET packed = false WHERE tid = $1", tids[1])
		packtest.Pack(t, file, trimDays(9.5))
		if !packed(t, h, tids[1]) || packed(t, h, tids[2]) {
			t.Error("others are marked than those up to the last trim since then")
		}
	})
}
