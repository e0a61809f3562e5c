package runner

import (
	"strings"
	"testing"
	"time"

	"relpack/runner/fault"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
)

// acquaint lets the storages of a file know each other: until then each of them
// may have referred to the others.
func acquaint(t *testing.T, text string) {
	t.Helper()
	o := upToNow
	o.DryRun = true
	packFile(t, text, o)
}

// sweepNow is what psql answers, with the pack lock taken for the occasion.
func sweepNow(t *testing.T, k *kin, packTime string) string {
	t.Helper()
	run(t, k.conn, "SELECT relpack.try_pack_lock()")
	defer run(t, k.conn, "SELECT relpack.release_pack_lock()")
	return get[string](t, k.conn, "SELECT outcome FROM relpack.sweep(1, "+packTime+")")
}

func TestAStorageOutOfReachIsBelievedUpToTheLastLookAtIt(t *testing.T) {
	t.Parallel()
	kin, text := newKin(t, "users", "main")
	users := kin[0]
	acquaint(t, text)
	grace := upToNow
	grace.Days = 1
	failed, _ := packFile(t, text, grace)
	expectFine(t, failed, "main", "users")
	expectStored(t, users.conn, 0, 1, 10, 11)

	// By now main may refer to it.
	litter(t, users.conn, 12, zodbtest.Record(zodbtest.Document))
	gone := section("users", users.target.DSN) + section("main", "host=/nonexistent dbname=main")
	for _, o := range []pack.Options{upToNow, everything} {
		failed, reports := packFile(t, gone, o)
		expectFine(t, failed, "users")
		expectStored(t, users.conn, 0, 1, 12)
		expectWords(t, strings.Join(reports["users"].Notes(), "\n"), "main may refer to what is younger than the last look at it",
			"which stays", "SELECT relpack.forget_referrer('main')")
	}
	expectWords(t, statusText(t, users.target), "main may refer to what is younger")
	packStorage(t, users.target, everything)
	for _, packTime := range []string{"NULL", "now()", "'infinity'"} {
		if outcome := sweepNow(t, users, packTime); outcome != "done" {
			t.Errorf("a sweep with the pack time %s: %s", packTime, outcome)
		}
	}
	expectStored(t, users.conn, 0, 1, 12)

	run(t, users.conn, "SELECT relpack.forget_referrer('main')")
	packStorage(t, users.target, everything)
	expectStored(t, users.conn, 0, 1)
}

// A reference that is stored there by then may not have been found.
func TestWhatIsYoungerThanAnOpenTransactionOfAnotherStorageStays(t *testing.T) {
	t.Parallel()
	kin, text := newKin(t, "users", "main")
	acquaint(t, text)
	tx := openTransaction(t, kin[1].target)
	litter(t, kin[0].conn, 12, zodbtest.Record(zodbtest.Document))
	failed, _ := packFile(t, text, everything)
	expectFine(t, failed, "users", "main")
	expectStored(t, kin[0].conn, 0, 1, 12)
	packStorage(t, kin[0].target, everything)
	expectStored(t, kin[0].conn, 0, 1, 12)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	failed, _ = packFile(t, text, everything)
	expectFine(t, failed, "users", "main")
	expectStored(t, kin[0].conn, 0, 1)
}

// referredKin are users and main, which alone refers to the old 10 in users.
func referredKin(t *testing.T) (users, main *kin, text string) {
	t.Helper()
	both, text := newKin(t, "users", "main")
	users, main = both[0], both[1]
	commitRecords(t, main.conn, map[int64][]byte{1: foreignRecord("users", 10)})
	failed, _ := packFile(t, text, upToNow)
	expectError(t, failed["users"], fault.ExitRefused, "main (1 reference)")
	return users, main, text
}

func TestTheGraceBeginsWhenAnotherStorageCeasesToRefer(t *testing.T) {
	t.Parallel()
	users, main, text := referredKin(t)
	here, there := openTransaction(t, users.target), openTransaction(t, main.target)
	commit(t, main.conn, links{1: {}})
	stays := func(why string, days float64) {
		t.Helper()
		o := upToNow
		o.Days = days
		failed, reports := packFile(t, text, o)
		expectFine(t, failed, "users", "main")
		expectStored(t, users.conn, 0, 1, 10, 11)
		if t.Failed() {
			t.Fatal(why)
		}
		expectWords(t, strings.Join(reports["users"].Notes(), "\n"), "The grace of what was unreachable at")
	}
	stays("it was in use a moment ago", 1.0/48)
	stays("transactions are open here and there", 0)
	if err := here.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	stays("a transaction is open there", 0)
	stays("a transaction is open there, and nothing is to cap", -1)
	if err := there.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	stays("the grace is not over", 1.0/48)
	failed, _ := packFile(t, text, upToNow)
	expectFine(t, failed, "users", "main")
	expectStored(t, users.conn, 0, 1)
}

func TestTheGraceBeginsWhenWhatIsRecordedOfAnotherStorageIsDeleted(t *testing.T) {
	t.Parallel()
	for _, free := range []string{
		"DELETE FROM relpack.referred_by",
		"SELECT relpack.forget_referrer('main')",
		"TRUNCATE relpack.referred_by",
		"UPDATE relpack.referred_by SET refs = 0, looked = 'infinity'",
		"SET session_replication_role = replica; DELETE FROM relpack.referred_by; RESET session_replication_role",
	} {
		users, _, _ := referredKin(t)
		reader := openTransaction(t, users.target)
		run(t, users.conn, free)
		packDays(t, users.target, 1.0/48)
		packDays(t, users.target, 0)
		if outcome := sweepNow(t, users, "now()"); outcome != "done" {
			t.Errorf("after %s: %s", free, outcome)
		}
		expectStored(t, users.conn, 0, 1, 10, 11)
		if err := reader.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		packDays(t, users.target, 1.0/48)
		expectStored(t, users.conn, 0, 1, 10, 11)
		packDays(t, users.target, 0)
		expectStored(t, users.conn, 0, 1)
	}
}

func TestADeletionThatHasBegunIsGivenUpWhenAnotherStorageRefersHere(t *testing.T) {
	t.Parallel()
	kin, text := newKin(t, "users", "main")
	users, main := kin[0], kin[1]
	acquaint(t, text)
	acquaint(t, text)
	if outcome := sweepNow(t, users, "now()"); outcome != "swept" {
		t.Fatal(outcome)
	}
	expectStored(t, users.conn, 0, 1, 11)
	commitRecords(t, main.conn, map[int64][]byte{1: foreignRecord("users", 11)})
	failed, _ := packFile(t, text, upToNow)
	expectError(t, failed["users"], fault.ExitRefused, "main (1 reference)")
	commit(t, main.conn, links{1: {}})
	grace := upToNow
	grace.Days = 1.0 / 48
	for range 2 {
		failed, _ = packFile(t, text, grace)
		expectFine(t, failed, "users")
		expectStored(t, users.conn, 0, 1, 11)
	}
}

// Ages count, not what the clock of another server says.
func TestALookIsAsOldAsTheOldestTransactionThere(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	dryRun(t, target)
	run(t, conn, "SELECT relpack.try_pack_lock(); SELECT relpack.note_referrer('main', 'elsewhere', 0, 0, interval '3 hours')")
	age := get[time.Duration](t, conn, "SELECT clock_timestamp() - looked FROM relpack.referred_by")
	if age < 3*time.Hour || age > 3*time.Hour+time.Minute {
		t.Errorf("looked %s ago", age)
	}
}
