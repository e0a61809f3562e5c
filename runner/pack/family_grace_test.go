package pack_test

import (
	"strings"
	"testing"
	"time"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
)

// acquaint lets the storages of a file know each other: until then each of them
// may have referred to the others.
func acquaint(t *testing.T, text string) {
	t.Helper()
	o := upToNow
	o.DryRun = true
	packtest.PackFile(t, text, o)
}

// sweepNow is what psql answers, with the pack lock taken for the occasion.
func sweepNow(t *testing.T, k *packtest.Kin, packTime string) string {
	t.Helper()
	packtest.Run(t, k.Conn, "SELECT relpack.try_pack_lock()")
	defer packtest.Run(t, k.Conn, "SELECT relpack.release_pack_lock()")
	return packtest.Get[string](t, k.Conn, "SELECT outcome FROM relpack.sweep(1, "+packTime+")")
}

func TestAStorageOutOfReachIsBelievedUpToTheLastLookAtIt(t *testing.T) {
	t.Parallel()
	kin, text := packtest.NewKin(t, "users", "main")
	users := kin[0]
	acquaint(t, text)
	grace := upToNow
	grace.Days = 1
	failed, _ := packtest.PackFile(t, text, grace)
	packtest.ExpectFine(t, failed, "main", "users")
	packtest.ExpectStored(t, users.Conn, 0, 1, 10, 11)

	// By now main may refer to it.
	litter(t, users.Conn, 12, zodbtest.Record(zodbtest.Document))
	gone := packtest.Section("users", users.Target.DSN) + packtest.Section("main", "host=/nonexistent dbname=main")
	for _, o := range []pack.Options{upToNow, packtest.Everything} {
		failed, reports := packtest.PackFile(t, gone, o)
		packtest.ExpectFine(t, failed, "users")
		packtest.ExpectStored(t, users.Conn, 0, 1, 12)
		packtest.ExpectWords(t, strings.Join(reports["users"].Notes(), "\n"), "main may refer to what is younger than the last look at it",
			"which stays", "SELECT relpack.forget_referrer('main')")
	}
	packtest.ExpectWords(t, packtest.Status(t, users.Target), "main may refer to what is younger")
	packtest.Pack(t, users.Target, packtest.Everything)
	for _, packTime := range []string{"NULL", "now()", "'infinity'"} {
		if outcome := sweepNow(t, users, packTime); outcome != "done" {
			t.Errorf("a sweep with the pack time %s: %s", packTime, outcome)
		}
	}
	packtest.ExpectStored(t, users.Conn, 0, 1, 12)

	packtest.Run(t, users.Conn, "SELECT relpack.forget_referrer('main')")
	packtest.Pack(t, users.Target, packtest.Everything)
	packtest.ExpectStored(t, users.Conn, 0, 1)
}

// A reference that is stored there by then may not have been found.
func TestWhatIsYoungerThanAnOpenTransactionOfAnotherStorageStays(t *testing.T) {
	t.Parallel()
	kin, text := packtest.NewKin(t, "users", "main")
	acquaint(t, text)
	tx := openTransaction(t, kin[1].Target)
	litter(t, kin[0].Conn, 12, zodbtest.Record(zodbtest.Document))
	failed, _ := packtest.PackFile(t, text, packtest.Everything)
	packtest.ExpectFine(t, failed, "users", "main")
	packtest.ExpectStored(t, kin[0].Conn, 0, 1, 12)
	packtest.Pack(t, kin[0].Target, packtest.Everything)
	packtest.ExpectStored(t, kin[0].Conn, 0, 1, 12)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	failed, _ = packtest.PackFile(t, text, packtest.Everything)
	packtest.ExpectFine(t, failed, "users", "main")
	packtest.ExpectStored(t, kin[0].Conn, 0, 1)
}

// referredKin are users and main, which alone refers to the old 10 in users.
func referredKin(t *testing.T) (users, main *packtest.Kin, text string) {
	t.Helper()
	both, text := packtest.NewKin(t, "users", "main")
	users, main = both[0], both[1]
	packtest.CommitRecords(t, main.Conn, map[int64][]byte{1: packtest.ForeignRecord("users", 10)})
	failed, _ := packtest.PackFile(t, text, upToNow)
	packtest.ExpectError(t, failed["users"], fault.ExitRefused, "main (1 reference)")
	return users, main, text
}

func TestTheGraceBeginsWhenAnotherStorageCeasesToRefer(t *testing.T) {
	t.Parallel()
	users, main, text := referredKin(t)
	here, there := openTransaction(t, users.Target), openTransaction(t, main.Target)
	packtest.Commit(t, main.Conn, packtest.Links{1: {}})
	stays := func(why string, days float64) {
		t.Helper()
		o := upToNow
		o.Days = days
		failed, reports := packtest.PackFile(t, text, o)
		packtest.ExpectFine(t, failed, "users", "main")
		packtest.ExpectStored(t, users.Conn, 0, 1, 10, 11)
		if t.Failed() {
			t.Fatal(why)
		}
		packtest.ExpectWords(t, strings.Join(reports["users"].Notes(), "\n"), "The grace of what was unreachable at")
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
	failed, _ := packtest.PackFile(t, text, upToNow)
	packtest.ExpectFine(t, failed, "users", "main")
	packtest.ExpectStored(t, users.Conn, 0, 1)
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
		reader := openTransaction(t, users.Target)
		packtest.Run(t, users.Conn, free)
		packDays(t, users.Target, 1.0/48)
		packDays(t, users.Target, 0)
		if outcome := sweepNow(t, users, "now()"); outcome != "done" {
			t.Errorf("after %s: %s", free, outcome)
		}
		packtest.ExpectStored(t, users.Conn, 0, 1, 10, 11)
		if err := reader.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		packDays(t, users.Target, 1.0/48)
		packtest.ExpectStored(t, users.Conn, 0, 1, 10, 11)
		packDays(t, users.Target, 0)
		packtest.ExpectStored(t, users.Conn, 0, 1)
	}
}

func TestADeletionThatHasBegunIsGivenUpWhenAnotherStorageRefersHere(t *testing.T) {
	t.Parallel()
	kin, text := packtest.NewKin(t, "users", "main")
	users, main := kin[0], kin[1]
	acquaint(t, text)
	acquaint(t, text)
	if outcome := sweepNow(t, users, "now()"); outcome != "swept" {
		t.Fatal(outcome)
	}
	packtest.ExpectStored(t, users.Conn, 0, 1, 11)
	packtest.CommitRecords(t, main.Conn, map[int64][]byte{1: packtest.ForeignRecord("users", 11)})
	failed, _ := packtest.PackFile(t, text, upToNow)
	packtest.ExpectError(t, failed["users"], fault.ExitRefused, "main (1 reference)")
	packtest.Commit(t, main.Conn, packtest.Links{1: {}})
	grace := upToNow
	grace.Days = 1.0 / 48
	for range 2 {
		failed, _ = packtest.PackFile(t, text, grace)
		packtest.ExpectFine(t, failed, "users")
		packtest.ExpectStored(t, users.Conn, 0, 1, 11)
	}
}

// Ages count, not what the clock of another server says.
func TestALookIsAsOldAsTheOldestTransactionThere(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.DryRun(t, target)
	packtest.Run(t, conn, "SELECT relpack.try_pack_lock(); SELECT relpack.note_referrer('main', 'elsewhere', 0, 0, interval '3 hours')")
	age := packtest.Get[time.Duration](t, conn, "SELECT clock_timestamp() - looked FROM relpack.referred_by")
	if age < 3*time.Hour || age > 3*time.Hour+time.Minute {
		t.Errorf("looked %s ago", age)
	}
}
