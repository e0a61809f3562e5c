package pack_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
	"relpack/runner/verify"
)

// litter stores an object that nothing refers to. What bears the highest tid
// alone would stay.
func litter(t *testing.T, conn *pgx.Conn, zoid int64, record []byte) {
	t.Helper()
	packtest.CommitRecords(t, conn, map[int64][]byte{zoid: record})
	packtest.Commit(t, conn, packtest.Links{0: {1}})
}

var upToNow = pack.Options{Version: "test", Migrations: migrations.Files}

func TestWhatAnotherDatabaseOfTheFileRefersToIsNotDeleted(t *testing.T) {
	t.Parallel()
	kin, text := packtest.NewKin(t, "users", "main")
	users, main := kin[0], kin[1]
	acquaint(t, text)
	packtest.CommitRecords(t, main.Conn, map[int64][]byte{1: packtest.ForeignRecord("users", 10, 11)})
	failed, reports := packtest.PackFile(t, text, upToNow)
	packtest.ExpectFine(t, failed, "main")
	packtest.ExpectError(t, failed["users"], fault.ExitRefused, "main (2 references)", "SELECT relpack.forget_referrer('main')")
	packtest.ExpectStored(t, users.Conn, 0, 1, 10, 11)
	packtest.ExpectStored(t, main.Conn, 0, 1)
	packtest.ExpectWords(t, strings.Join(reports["main"].Notes(), "\n"), `2 references lead to database "users".`)
	packtest.ExpectWords(t, strings.Join(reports["users"].Notes(), "\n"), "2 references of main lead here")
	// In psql, too, and with that storage alone.
	_, err := users.Conn.Exec(t.Context(), "SELECT * FROM relpack.sweep(10, NULL)")
	packtest.ExpectState(t, err, fault.StateRefused)
	_, err = pack.Run(t.Context(), users.Target, packtest.Everything, packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "main (2 references)")
	o := upToNow
	o.DryRun = true
	failed, _ = packtest.PackFile(t, text, o)
	packtest.ExpectError(t, failed["users"], fault.ExitRefused, "main (2 references)")

	// When the references are known to be gone, nothing is in the way any more.
	packtest.Commit(t, main.Conn, packtest.Links{1: {}})
	acquaint(t, text)
	failed, _ = packtest.PackFile(t, text, upToNow)
	packtest.ExpectFine(t, failed, "main", "users")
	packtest.ExpectStored(t, users.Conn, 0, 1)
}

func TestReferencesOfGarbageCountUntilItIsDeleted(t *testing.T) {
	t.Parallel()
	kin, text := packtest.NewKin(t, "users", "main")
	acquaint(t, text)
	litter(t, kin[1].Conn, 20, packtest.ForeignRecord("users", 10))
	grace := upToNow
	grace.Days = 1.0 / 48
	failed, _ := packtest.PackFile(t, text, grace)
	packtest.ExpectFine(t, failed, "main")
	packtest.ExpectError(t, failed["users"], fault.ExitRefused, "main (1 reference)")
	packtest.ExpectStored(t, kin[1].Conn, 0, 1, 10, 11, 20)
	failed, _ = packtest.PackFile(t, text, packtest.Everything)
	packtest.ExpectFine(t, failed, "main") // deletes 20
	acquaint(t, text)
	failed, _ = packtest.PackFile(t, text, packtest.Everything)
	packtest.ExpectFine(t, failed, "main", "users")
	packtest.ExpectStored(t, kin[0].Conn, 0, 1)
}

func TestAStorageThatWasNeverReadKeepsTheOthersFromBeingSwept(t *testing.T) {
	t.Parallel()
	kin, text := packtest.NewKin(t, "users")
	nowhere := packtest.Section("main", "host=/nonexistent dbname=main") + packtest.Section("old", "host=/nonexistent dbname=old")
	failed, _ := packtest.PackFile(t, text+nowhere, packtest.Everything)
	const excuse = "UPDATE relpack.referred_by SET looked = 'infinity' WHERE holder IN ('main', 'old')"
	packtest.ExpectError(t, failed["users"], fault.ExitRefused, "main (never read), old (never read)", excuse,
		"SELECT relpack.forget_referrer('main'); SELECT relpack.forget_referrer('old')")
	if fault.ExitCode(failed["main"]) != fault.ExitFailure {
		t.Errorf("main: %v", failed["main"])
	}
	packtest.ExpectStored(t, kin[0].Conn, 0, 1, 10, 11)
	// What a DBA answers for lasts.
	packtest.Run(t, kin[0].Conn, excuse)
	for range 2 {
		failed, _ = packtest.PackFile(t, text+nowhere, packtest.Everything)
		packtest.ExpectFine(t, failed, "users")
	}
	packtest.ExpectStored(t, kin[0].Conn, 0, 1)
	litter(t, kin[0].Conn, 10, zodbtest.Record(zodbtest.Document))
	packtest.Run(t, kin[0].Conn, "SELECT relpack.forget_referrer(holder) FROM relpack.referred_by")
	mysql := "<zodb main>\n<relstorage>\n<mysql>\n</mysql>\n</relstorage>\n</zodb>\n"
	failed, reports := packtest.PackFile(t, text+mysql, packtest.Everything)
	packtest.ExpectFine(t, failed, "users")
	packtest.ExpectStored(t, kin[0].Conn, 0, 1)
	packtest.ExpectWords(t, strings.Join(reports["users"].Notes(), "\n"), "the database main is in <mysql>, which relpack can't read")
}

// A draft of a file is no reason to know a storage for good.
func TestADryRunLeavesNoReferrerThatWasNeverRead(t *testing.T) {
	t.Parallel()
	kin, text := packtest.NewKin(t, "users")
	mistyped := text + packtest.Section("main", "host=/nonexistent dbname=main")
	dry := packtest.Everything
	dry.DryRun = true
	const known = "SELECT count(*) FROM relpack.referred_by"
	for range 2 {
		failed, reports := packtest.PackFile(t, mistyped, dry)
		packtest.ExpectError(t, failed["users"], fault.ExitRefused, "main (never read)", "SELECT relpack.forget_referrer('main')")
		var said strings.Builder
		if err := reports["users"].Write(&said); err != nil {
			t.Fatal(err)
		}
		packtest.ExpectWords(t, said.String(), "would delete", "2 objects", "but a pack is refused",
			"section main of ", "site.conf was never read: nothing is deleted here until it is. Correct its dsn and pack again; or, "+
				"if it was a mistake, take it out of the file and run in this database: SELECT relpack.forget_referrer('main').")
		if n := packtest.Get[int](t, kin[0].Conn, known); n != 0 {
			t.Errorf("%d storages are known", n)
		}
	}
	failed, _ := packtest.PackFile(t, text, packtest.Everything)
	packtest.ExpectFine(t, failed, "users")
	packtest.ExpectStored(t, kin[0].Conn, 0, 1)
	// What a real run could not read stays known, also to a dry run.
	litter(t, kin[0].Conn, 12, zodbtest.Record(zodbtest.Document))
	for _, o := range []pack.Options{packtest.Everything, dry} {
		failed, _ = packtest.PackFile(t, mistyped, o)
		packtest.ExpectError(t, failed["users"], fault.ExitRefused, "main (never read)")
		if n := packtest.Get[int](t, kin[0].Conn, known); n != 1 {
			t.Errorf("%d storages are known", n)
		}
	}
	failed, _ = packtest.PackFile(t, text, packtest.Everything)
	packtest.ExpectError(t, failed["users"], fault.ExitRefused, "main (never read)")
	packtest.ExpectStored(t, kin[0].Conn, 0, 1, 12)
}

// Nothing is old enough to be refused.
func TestAStorageThatWasNeverReadIsToldBeforeItIsInTheWay(t *testing.T) {
	t.Parallel()
	_, text := packtest.NewKin(t, "users")
	text += packtest.Section("main", "host=/nonexistent dbname=main")
	grace := upToNow
	grace.Days = 30
	for _, grace.DryRun = range []bool{true, false} {
		said := new(bytes.Buffer)
		failed, _ := packtest.PackFileLog(t, text, grace, slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelError})))
		packtest.ExpectFine(t, failed, "users")
		packtest.ExpectWords(t, said.String(), "section main of ", "was never read: nothing is deleted here until it is")
	}
}

func TestAStorageThatIsOutOfReachCountsWithWhatWasRecordedLast(t *testing.T) {
	t.Parallel()
	kin, text := packtest.NewKin(t, "users", "main")
	acquaint(t, text)
	failed, _ := packtest.PackFile(t, text, packtest.Everything)
	packtest.ExpectFine(t, failed, "main", "users")
	litter(t, kin[0].Conn, 12, zodbtest.Record(zodbtest.Document))
	// It did not refer to users when it was read last.
	gone := packtest.Section("users", kin[0].Target.DSN) + packtest.Section("main", "host=/nonexistent dbname=main")
	failed, _ = packtest.PackFile(t, gone, packtest.Everything)
	packtest.ExpectFine(t, failed, "users")
	packtest.ExpectStored(t, kin[0].Conn, 0, 1, 12)
	packtest.CommitRecords(t, kin[1].Conn, map[int64][]byte{1: packtest.ForeignRecord("Users", 12)})
	litter(t, kin[0].Conn, 12, zodbtest.Record(zodbtest.Document))
	failed, _ = packtest.PackFile(t, text, packtest.Everything)
	packtest.ExpectError(t, failed["users"], fault.ExitRefused, "main (1 reference)")
	failed, _ = packtest.PackFile(t, gone, packtest.Everything)
	packtest.ExpectError(t, failed["users"], fault.ExitRefused, "main (1 reference)")
	packtest.ExpectStored(t, kin[0].Conn, 0, 1, 12)
}

func TestAnUndecodableObjectMayReferToTheOtherDatabases(t *testing.T) {
	t.Parallel()
	kin, text := packtest.NewKin(t, "users", "main")
	litter(t, kin[1].Conn, 20, zodbtest.Encrypted(zodbtest.Record(zodbtest.Document)))
	grace := upToNow
	grace.Days = 1.0 / 48
	failed, _ := packtest.PackFile(t, text, grace)
	packtest.ExpectError(t, failed["users"], fault.ExitRefused, "main (1 object that can't be decoded)")
	packtest.ExpectStored(t, kin[0].Conn, 0, 1, 10, 11)
}

func TestADatabaseThatNoSectionNamesIsWarnedAbout(t *testing.T) {
	t.Parallel()
	kin, text := packtest.NewKin(t, "main")
	packtest.CommitRecords(t, kin[0].Conn, map[int64][]byte{1: packtest.ForeignRecord("catalog", 10)})
	failed, reports := packtest.PackFile(t, text, packtest.Everything)
	packtest.ExpectFine(t, failed, "main")
	packtest.ExpectWords(t, strings.Join(reports["main"].Notes(), "\n"), `1 reference leads to database "catalog", which no section`)
	packtest.ExpectStored(t, kin[0].Conn, 0, 1)
	// Under its own name a database refers to itself.
	packtest.CommitRecords(t, kin[0].Conn, map[int64][]byte{1: packtest.ForeignRecord("main", 10), 10: nil})
	failed, _ = packtest.PackFile(t, text, packtest.Everything)
	packtest.ExpectError(t, failed["main"], fault.ExitRefused, "main (1 reference)")
	packtest.Commit(t, kin[0].Conn, packtest.Links{1: {}})
	failed, _ = packtest.PackFile(t, text, packtest.Everything)
	packtest.ExpectFine(t, failed, "main")
	packtest.ExpectStored(t, kin[0].Conn, 0, 1)
}

func TestAStorageOfNoNameMayBeWhatNobodyElseIs(t *testing.T) {
	t.Parallel()
	kin, _ := packtest.NewKin(t, "users", "main")
	text := fmt.Sprintf("<relstorage>\n<postgresql>\ndsn %s\n</postgresql>\n</relstorage>\n", kin[0].Target.DSN) +
		packtest.Section("main", kin[1].Target.DSN)
	packtest.CommitRecords(t, kin[1].Conn, map[int64][]byte{1: packtest.ForeignRecord("users", 10)})
	failed, _ := packtest.PackFile(t, text, packtest.Everything)
	packtest.ExpectError(t, failed[kin[0].Conn.Config().Database], fault.ExitRefused, "main (1 reference)")
	packtest.ExpectStored(t, kin[0].Conn, 0, 1, 10, 11)
}

// In a file of zodbpack's no <zodb> says what references call a storage: the section has
// a name of its own.
func TestAStorageInNoZodbMayBeCalledOtherwiseThanItsSection(t *testing.T) {
	t.Parallel()
	names := []string{"accounts", "main"}
	kin, _ := packtest.NewKin(t, names...)
	var text strings.Builder
	for i, k := range kin {
		fmt.Fprintf(&text, "<relstorage %s>\n<postgresql>\ndsn %s\n</postgresql>\n</relstorage>\n", names[i], k.Target.DSN)
	}
	var notes string
	refer := func(database string) map[string]error {
		t.Helper()
		packtest.CommitRecords(t, kin[1].Conn, map[int64][]byte{1: packtest.ForeignRecord(database, 10)})
		acquaint(t, text.String())
		failed, reports := packtest.PackFile(t, text.String(), packtest.Everything)
		packtest.ExpectFine(t, failed, "main")
		notes = strings.Join(reports["main"].Notes(), "\n")
		return failed
	}
	packtest.ExpectError(t, refer("users")["accounts"], fault.ExitRefused, "main (1 reference)")
	packtest.ExpectWords(t, notes, "it may be accounts. Write <zodb NAME>")
	packtest.ExpectStored(t, kin[0].Conn, 0, 1, 10, 11)
	// One that a section names is that.
	packtest.ExpectFine(t, refer("main"), "accounts")
	packtest.ExpectStored(t, kin[0].Conn, 0, 1)
}

// The other database may have got references since it was read.
func TestWhatIsYoungerThanTheLookAtTheOthersStays(t *testing.T) {
	t.Parallel()
	kin, text := packtest.NewKin(t, "users", "main")
	users, main := kin[0], kin[1]
	acquaint(t, text)
	stored := false
	o := packtest.Everything
	o.Progress = &packtest.Hooks{OnPhase: func(name string) {
		// The first deletion is that of users: all were read by then.
		if name == "delete" && !stored {
			stored = true
			litter(t, users.Conn, 12, zodbtest.Record(zodbtest.Document))
		}
	}}
	failed, _ := packtest.PackFile(t, packtest.Section("main", main.Target.DSN)+packtest.Section("users", users.Target.DSN), o)
	packtest.ExpectFine(t, failed, "main", "users")
	packtest.ExpectStored(t, users.Conn, 0, 1, 12)
	failed, _ = packtest.PackFile(t, text, packtest.Everything)
	packtest.ExpectFine(t, failed, "main", "users")
	packtest.ExpectStored(t, users.Conn, 0, 1)
}

func TestStatusNamesOtherDatabases(t *testing.T) {
	t.Parallel()
	kin, text := packtest.NewKin(t, "users", "main")
	packtest.CommitRecords(t, kin[1].Conn, map[int64][]byte{1: packtest.ForeignRecord("users", 10), 2: packtest.ForeignRecord("catalog", 7)})
	packtest.Commit(t, kin[1].Conn, packtest.Links{0: {1, 2}})
	packtest.PackFile(t, text, packtest.Everything)
	file := filepath.Join(t.TempDir(), "site.conf")
	text += "<zodb archive>\n<filestorage>\npath x\n</filestorage>\n</zodb>\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	targets, err := target.Targets(file, "", "")
	if err != nil {
		t.Fatal(err)
	}
	packtest.ExpectWords(t, packtest.Status(t, targets[0]), "1 reference of main leads here", "database archive is in <filestorage>")
	packtest.ExpectWords(t, packtest.Status(t, targets[1]), `1 reference leads to database "users".`, `1 reference leads to database "catalog", which no section`)
}

func TestVerifyMendsWhatIsRecordedOfOtherDatabases(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.CommitRecords(t, conn, map[int64][]byte{2: packtest.ForeignRecord("users", 7, 7, 8)})
	packtest.DryRun(t, target)
	verify := func(repair bool) *verify.Report {
		report, err := verify.Run(t.Context(), target, packtest.VerifyOptions(repair), packtest.Log(t))
		if !repair && err == nil && len(report.Findings) > 0 {
			t.Errorf("findings and no error: %v", report.Findings)
		}
		return report
	}
	recorded := func() []string {
		return packtest.Lines(t, conn, "SELECT format('%s to %s of %s', inref, zoid, database) FROM relpack.foreign_reference ORDER BY 1")
	}
	want := fmt.Sprint(recorded())
	if want != "[2 to 7 of users 2 to 8 of users]" {
		t.Errorf("recorded are %s", want)
	}
	if found := verify(false).Findings; len(found) > 0 {
		t.Errorf("found %v", found)
	}
	for _, spoil := range []string{
		"DELETE FROM relpack.foreign_reference WHERE zoid = 8",
		"INSERT INTO relpack.foreign_reference (inref, zoid, database) VALUES (1, 9, 'users')",
		"TRUNCATE relpack.foreign_reference",
	} {
		if strings.HasPrefix(spoil, "TRUNCATE") {
			spoil += "; UPDATE relpack.storage SET graph_identity = relpack.graph_identity()"
		}
		packtest.Run(t, conn, "SELECT pg_advisory_xact_lock(-2); "+spoil)
		if found := verify(false).Findings; len(found) != 1 || found[0].Kind != "other_references" {
			t.Errorf("after %s: found %v", spoil, found)
		}
		verify(true)
		if got := fmt.Sprint(recorded()); got != want {
			t.Errorf("after %s and repair: %s", spoil, got)
		}
	}
}

// Whoever says that garbage stays knows of what refers to it.
func TestADatabaseThatIsNamedTwiceKeepsItsGarbageIfOneSectionSaysSo(t *testing.T) {
	t.Parallel()
	kin, text := packtest.NewKin(t, "users")
	text += strings.Replace(packtest.Section("again", kin[0].Target.DSN), "<postgresql>", "pack-gc false\n<postgresql>", 1)
	failed, _ := packtest.PackFile(t, text, packtest.Everything)
	packtest.ExpectError(t, failed["users"], fault.ExitRefused, "again is the same database, and says pack-gc false")
	packtest.ExpectStored(t, kin[0].Conn, 0, 1, 10, 11)
}

// Two sections that name one database are one storage, whatever they call it.
func TestADatabaseThatIsNamedTwiceIsPackedOnce(t *testing.T) {
	t.Parallel()
	kin, text := packtest.NewKin(t, "users", "main")
	text += packtest.Section("again", kin[0].Target.DSN)
	acquaint(t, text)
	packtest.CommitRecords(t, kin[1].Conn, map[int64][]byte{1: packtest.ForeignRecord("again", 11)})
	failed, _ := packtest.PackFile(t, text, packtest.Everything)
	packtest.ExpectFine(t, failed, "main")
	packtest.ExpectError(t, failed["users"], fault.ExitRefused, "main (1 reference)")
	packtest.ExpectError(t, failed["again"], fault.ExitRefused, "again is the same database as users", "Name it once")
	packtest.ExpectStored(t, kin[0].Conn, 0, 1, 10, 11)
	packtest.Commit(t, kin[1].Conn, packtest.Links{1: {}})
	acquaint(t, text)
	failed, _ = packtest.PackFile(t, text, packtest.Everything)
	packtest.ExpectFine(t, failed, "main", "users")
	packtest.ExpectStored(t, kin[0].Conn, 0, 1)
}

func TestAClockThatWasAheadHoldsUpNobodyForEver(t *testing.T) {
	t.Parallel()
	kin, text := packtest.NewKin(t, "users", "main")
	acquaint(t, text)
	packtest.Run(t, kin[0].Conn, "UPDATE relpack.storage SET unreferred = clock_timestamp() + interval '10 years'")
	for range 2 {
		failed, _ := packtest.PackFile(t, text, packtest.Everything)
		packtest.ExpectFine(t, failed, "main", "users")
	}
	packtest.ExpectStored(t, kin[0].Conn, 0, 1)
}
