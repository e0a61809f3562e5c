package blobs_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/packtest"
	"relpack/runner/pack"
)

// putBackBeside puts a revision back, in a transaction that is open while the files go,
// after something was done about relpack's triggers.
func putBackBeside(t *testing.T, a packtest.Album, first func()) {
	t.Helper()
	writer := packtest.Session(t, a.Target)
	var tx pgx.Tx
	o := packtest.Before("remove blob files", func() {
		var err error
		if first(); tx == nil {
			tx, err = writer.BeginTx(t.Context(), pgx.TxOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
		packtest.Run(t, writer, "INSERT INTO object_state SELECT 2, $1, 0, NULL, state_size, state FROM object_state WHERE zoid = 2 AND tid = $2", a.First, a.Now)
	})
	o.Days = 5
	if _, err := pack.Run(t.Context(), a.Target, o, packtest.Log(t)); err == nil {
		t.Error("nothing was refused")
	}
	if tx != nil {
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	a.Expect(t, 2, a.First, true)
}

// Writers that no trigger stops may put rows back while files go.
func TestFilesOfAHistoryStayWhereTriggersAreMissing(t *testing.T) {
	t.Parallel()
	eachHistory(t, func(t *testing.T, a packtest.Album) {
		packtest.PackWithGrace(t, withoutFiles(a.Target), 5)
		packtest.Run(t, a.Conn, "SELECT relpack.drop_triggers()")
		putBackBeside(t, a, func() {})
	})
}

func TestFilesOfAHistoryStayWhereTriggersAreDisabledMeanwhile(t *testing.T) {
	t.Parallel()
	eachHistory(t, func(t *testing.T, a packtest.Album) {
		putBackBeside(t, a, func() { packtest.Run(t, a.Conn, "ALTER TABLE object_state DISABLE TRIGGER ALL") })
	})
}

func TestAFileThatIsListedStaysForWhoSawItsRowPutBack(t *testing.T) {
	t.Parallel()
	for name, goes := range map[string]string{
		"deleted": "DELETE FROM object_state WHERE zoid = 2 AND tid = $1",
		"moved":   "UPDATE object_state SET zoid = 99 WHERE zoid = 2 AND tid = $1",
		"redated": `WITH later AS (INSERT INTO transaction (tid, username, description) SELECT max(tid) + 5, '', '' FROM transaction RETURNING tid)
			UPDATE object_state SET tid = later.tid FROM later WHERE zoid = 2 AND object_state.tid = $1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachHistory(t, func(t *testing.T, a packtest.Album) {
				packtest.PackWithGrace(t, withoutFiles(a.Target), 5)
				putBack(t, a)
				end := reader(t, a)
				packtest.Run(t, a.Conn, goes, a.First)
				packtest.PackWithGrace(t, a.Target, 5)
				a.Expect(t, 2, a.First, true)
				end()
				packtest.PackWithGrace(t, a.Target, 5)
				a.Expect(t, 2, a.First, false)
			})
		})
	}
}

// Without its triggers relpack is not told that the row was there for a while.
func TestAFileThatIsListedStaysForWhoSawItsRowWhileTriggersWereOff(t *testing.T) {
	t.Parallel()
	for name, way := range map[string]struct{ off, on string }{
		"dropped": {"SELECT relpack.drop_triggers()", "SELECT relpack.create_triggers()"},
		"disabled": {"ALTER TABLE object_state DISABLE TRIGGER relpack_report_delete",
			"ALTER TABLE object_state ENABLE ALWAYS TRIGGER relpack_report_delete"},
		"elsewhere": {"ALTER SCHEMA relpack RENAME TO elsewhere", "ALTER SCHEMA elsewhere RENAME TO relpack"},
		"tables elsewhere": {"ALTER TABLE relpack.storage RENAME TO s; ALTER TABLE relpack.write_event RENAME TO w",
			"ALTER TABLE relpack.s RENAME TO storage; ALTER TABLE relpack.w RENAME TO write_event"},
		"without their row": {"ALTER TABLE relpack.storage RENAME TO elsewhere", "ALTER TABLE relpack.elsewhere RENAME TO storage"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachHistory(t, func(t *testing.T, a packtest.Album) {
				packtest.PackWithGrace(t, withoutFiles(a.Target), 5)
				packtest.Run(t, a.Conn, way.off)
				putBack(t, a)
				end := reader(t, a)
				packtest.Run(t, a.Conn, "DELETE FROM object_state WHERE zoid = 2 AND tid = $1", a.First)
				packtest.Run(t, a.Conn, way.on)
				packtest.PackWithGrace(t, a.Target, 5)
				a.Expect(t, 2, a.First, true)
				end()
				packtest.PackWithGrace(t, a.Target, 5)
				a.Expect(t, 2, a.First, false)
			})
		})
	}
}

// They were off for a moment between the note and the removal.
func TestAFileThatIsListedStaysForWhoSawItsRowAMomentAgo(t *testing.T) {
	t.Parallel()
	eachHistory(t, func(t *testing.T, a packtest.Album) {
		packtest.PackWithGrace(t, withoutFiles(a.Target), 5)
		var end func()
		o := packtest.Before("remove blob files", func() {
			packtest.Run(t, a.Conn, "SELECT relpack.drop_triggers()")
			putBack(t, a)
			end = reader(t, a)
			packtest.Run(t, a.Conn, "DELETE FROM object_state WHERE zoid = 2 AND tid = $1", a.First)
			packtest.Run(t, a.Conn, "SELECT relpack.create_triggers()")
		})
		o.Days = 5
		_, err := pack.Run(t.Context(), a.Target, o, packtest.Log(t))
		packtest.ExpectRefusal(t, err, "triggers")
		a.Expect(t, 2, a.First, true)
		end()
		packtest.PackWithGrace(t, a.Target, 5)
		a.Expect(t, 2, a.First, false)
	})
}

// putBack puts a revision back whose file waits, as one that is not current.
func putBack(t *testing.T, a packtest.Album) {
	t.Helper()
	a.PutBack(t, 2, a.First)
	packtest.Run(t, a.Conn, "UPDATE current_object SET tid = $1 WHERE zoid = 2", a.Now)
}

// What is listed is stored while a pack notes when it was removed, and somebody deletes it
// meanwhile: he sees no time that he had to take back.
func TestTheWaitForAFileBeginsWhenItsRowIsGone(t *testing.T) {
	t.Parallel()
	for _, isolation := range []string{"READ COMMITTED", "REPEATABLE READ"} {
		t.Run(isolation, func(t *testing.T) {
			t.Parallel()
			eachHistory(t, func(t *testing.T, a packtest.Album) {
				packtest.PackWithGrace(t, withoutFiles(a.Target), 5)
				putBack(t, a)
				packtest.Run(t, a.Conn, "DELETE FROM object_state WHERE zoid = 2 AND tid = $1", a.First) // its time is taken back
				putBack(t, a)
				deleter := packtest.Session(t, a.Target)
				deletes := func() {
					packtest.Run(t, deleter, "DELETE FROM object_state WHERE zoid = 2 AND tid = $1", a.First)
				}
				packtest.Run(t, deleter, "BEGIN ISOLATION LEVEL "+isolation)
				if isolation == "REPEATABLE READ" {
					packtest.Run(t, deleter, "SELECT count(*) FROM object_state")
					packtest.PackWithGrace(t, withoutFiles(a.Target), 12)
				} else {
					o := packtest.Before("nothing", func() {})
					o.Days = 12
					if _, err := pack.Run(t.Context(), withoutFiles(a.Target), o, packtest.PhaseLog("transactions", deletes)); err != nil {
						t.Fatal(err)
					}
				}
				end := reader(t, a)
				if isolation == "REPEATABLE READ" {
					deletes()
				}
				packtest.Run(t, deleter, "COMMIT")
				packtest.PackWithGrace(t, a.Target, 12)
				a.Expect(t, 2, a.First, true)
				end()
				packtest.PackWithGrace(t, a.Target, 5)
				a.Expect(t, 2, a.First, false)
			})
		})
	}
}

// Who deletes what is listed holds its row there; all of them are to be noted anew.
func TestNobodyIsWaitedForWithoutEndWhereFilesAreNotedAnew(t *testing.T) {
	t.Parallel()
	eachHistory(t, func(t *testing.T, a packtest.Album) {
		packtest.PackWithGrace(t, withoutFiles(a.Target), 5)
		packtest.Run(t, a.Conn, "SELECT relpack.drop_triggers(); SELECT relpack.create_triggers()")
		putBack(t, a)
		deleter := packtest.Session(t, a.Target)
		file := withoutFiles(a.Target)
		file.CommitLockTimeout = time.Second
		o := packtest.Before("nothing", func() {})
		o.Days = 12
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		_, err := pack.Run(ctx, file, o, packtest.PhaseLog("index", func() {
			packtest.Run(t, deleter, "BEGIN")
			packtest.Run(t, deleter, "DELETE FROM object_state WHERE zoid = 2 AND tid = $1", a.First)
		}))
		if err == nil || ctx.Err() != nil {
			t.Errorf("a pack beside one who holds a row that is listed: %v", err)
		}
	})
}
