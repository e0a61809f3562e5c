package runner

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
	"relpack/runner/verify"
)

// foreignRecord is a record with references to objects of another database.
func foreignRecord(database string, oids ...int64) []byte {
	text := "\x80\x03czmodels\nDocument\nq\x00.\x80\x03]q\x01("
	for _, oid := range oids {
		text += fmt.Sprintf("](X\x01\x00\x00\x00mX%c\x00\x00\x00%sC\x08%sczmodels\nDocument\n\x87eQ",
			len(database), database, zodbtest.Oid(oid))
	}
	return []byte(text + "e.")
}

// A kin is a storage of a family with its session.
type kin struct {
	name   string
	target target.Target
	conn   *pgx.Conn
}

// newKin makes storages with a root, object 1 and garbage 10, an hour old, and
// the text of a file that names them.
func newKin(t *testing.T, names ...string) ([]*kin, string) {
	t.Helper()
	var all []*kin
	var text strings.Builder
	for _, name := range names {
		target, conn := newStorage(t)
		commitAt(t, conn, time.Hour, links{0: {1}, 1: {}, 10: {11}, 11: {}})
		all = append(all, &kin{name, target, conn})
		text.WriteString(section(name, target.DSN))
	}
	return all, text.String()
}

func section(name, dsn string) string {
	return fmt.Sprintf("<zodb %s>\n<relstorage>\n<postgresql>\ndsn %s\n</postgresql>\n</relstorage>\n</zodb>\n", name, dsn)
}

// packFile packs the storages of a file as the command does; errors by name.
func packFile(t *testing.T, text string, o pack.Options) (map[string]error, map[string]*pack.Report) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "site.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	targets, err := target.Targets(file, "", "")
	if err != nil {
		t.Fatal(err)
	}
	failed, reports := map[string]error{}, map[string]*pack.Report{}
	family := pack.NewFamily(targets[0].File)
	for _, target := range targets {
		reports[target.Name], failed[target.Name] = family.Pack(t.Context(), target, o, testLog(t))
	}
	return failed, reports
}

func expectFine(t *testing.T, failed map[string]error, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := failed[name]; err != nil {
			t.Errorf("%s: %s", name, fault.Message(err))
		}
	}
}

// litter stores an object that nothing refers to. What bears the highest tid
// alone would stay.
func litter(t *testing.T, conn *pgx.Conn, zoid int64, record []byte) {
	t.Helper()
	commitRecords(t, conn, map[int64][]byte{zoid: record})
	commit(t, conn, links{0: {1}})
}

var upToNow = pack.Options{Version: "test", Migrations: migrations.Files}

func TestWhatAnotherDatabaseOfTheFileRefersToIsNotDeleted(t *testing.T) {
	t.Parallel()
	kin, text := newKin(t, "users", "main")
	users, main := kin[0], kin[1]
	acquaint(t, text)
	commitRecords(t, main.conn, map[int64][]byte{1: foreignRecord("users", 10, 11)})
	failed, reports := packFile(t, text, upToNow)
	expectFine(t, failed, "main")
	expectError(t, failed["users"], fault.ExitRefused, "main (2 references)", "SELECT relpack.forget_referrer('main')")
	expectStored(t, users.conn, 0, 1, 10, 11)
	expectStored(t, main.conn, 0, 1)
	expectWords(t, strings.Join(reports["main"].Notes(), "\n"), `2 references lead to database "users".`)
	expectWords(t, strings.Join(reports["users"].Notes(), "\n"), "2 references of main lead here")
	// In psql, too, and with that storage alone.
	_, err := users.conn.Exec(t.Context(), "SELECT * FROM relpack.sweep(10, NULL)")
	expectState(t, err, fault.StateRefused)
	_, err = pack.Run(t.Context(), users.target, everything, testLog(t))
	expectError(t, err, fault.ExitRefused, "main (2 references)")
	o := upToNow
	o.DryRun = true
	failed, _ = packFile(t, text, o)
	expectError(t, failed["users"], fault.ExitRefused, "main (2 references)")

	// When the references are known to be gone, nothing is in the way any more.
	commit(t, main.conn, links{1: {}})
	acquaint(t, text)
	failed, _ = packFile(t, text, upToNow)
	expectFine(t, failed, "main", "users")
	expectStored(t, users.conn, 0, 1)
}

func TestReferencesOfGarbageCountUntilItIsDeleted(t *testing.T) {
	t.Parallel()
	kin, text := newKin(t, "users", "main")
	acquaint(t, text)
	litter(t, kin[1].conn, 20, foreignRecord("users", 10))
	grace := upToNow
	grace.Days = 1.0 / 48
	failed, _ := packFile(t, text, grace)
	expectFine(t, failed, "main")
	expectError(t, failed["users"], fault.ExitRefused, "main (1 reference)")
	expectStored(t, kin[1].conn, 0, 1, 10, 11, 20)
	failed, _ = packFile(t, text, everything)
	expectFine(t, failed, "main") // deletes 20
	acquaint(t, text)
	failed, _ = packFile(t, text, everything)
	expectFine(t, failed, "main", "users")
	expectStored(t, kin[0].conn, 0, 1)
}

func TestAStorageThatWasNeverReadKeepsTheOthersFromBeingSwept(t *testing.T) {
	t.Parallel()
	kin, text := newKin(t, "users")
	nowhere := section("main", "host=/nonexistent dbname=main")
	failed, _ := packFile(t, text+nowhere, everything)
	const excuse = "UPDATE relpack.referred_by SET looked = 'infinity' WHERE holder = 'main'"
	expectError(t, failed["users"], fault.ExitRefused, "main (never read)", excuse)
	if fault.ExitCode(failed["main"]) != fault.ExitFailure {
		t.Errorf("main: %v", failed["main"])
	}
	expectStored(t, kin[0].conn, 0, 1, 10, 11)
	// What a DBA answers for lasts.
	run(t, kin[0].conn, excuse)
	for range 2 {
		failed, _ = packFile(t, text+nowhere, everything)
		expectFine(t, failed, "users")
	}
	expectStored(t, kin[0].conn, 0, 1)
	litter(t, kin[0].conn, 10, zodbtest.Record(zodbtest.Document))
	run(t, kin[0].conn, "SELECT relpack.forget_referrer('main')")
	mysql := "<zodb main>\n<relstorage>\n<mysql>\n</mysql>\n</relstorage>\n</zodb>\n"
	failed, reports := packFile(t, text+mysql, everything)
	expectFine(t, failed, "users")
	expectStored(t, kin[0].conn, 0, 1)
	expectWords(t, strings.Join(reports["users"].Notes(), "\n"), "the database main is in <mysql>, which relpack can't read")
}

func TestAStorageThatIsOutOfReachCountsWithWhatWasRecordedLast(t *testing.T) {
	t.Parallel()
	kin, text := newKin(t, "users", "main")
	acquaint(t, text)
	failed, _ := packFile(t, text, everything)
	expectFine(t, failed, "main", "users")
	litter(t, kin[0].conn, 12, zodbtest.Record(zodbtest.Document))
	// It did not refer to users when it was read last.
	gone := section("users", kin[0].target.DSN) + section("main", "host=/nonexistent dbname=main")
	failed, _ = packFile(t, gone, everything)
	expectFine(t, failed, "users")
	expectStored(t, kin[0].conn, 0, 1, 12)
	commitRecords(t, kin[1].conn, map[int64][]byte{1: foreignRecord("Users", 12)})
	litter(t, kin[0].conn, 12, zodbtest.Record(zodbtest.Document))
	failed, _ = packFile(t, text, everything)
	expectError(t, failed["users"], fault.ExitRefused, "main (1 reference)")
	failed, _ = packFile(t, gone, everything)
	expectError(t, failed["users"], fault.ExitRefused, "main (1 reference)")
	expectStored(t, kin[0].conn, 0, 1, 12)
}

func TestAnUndecodableObjectMayReferToTheOtherDatabases(t *testing.T) {
	t.Parallel()
	kin, text := newKin(t, "users", "main")
	litter(t, kin[1].conn, 20, zodbtest.Encrypted(zodbtest.Record(zodbtest.Document)))
	grace := upToNow
	grace.Days = 1.0 / 48
	failed, _ := packFile(t, text, grace)
	expectError(t, failed["users"], fault.ExitRefused, "main (1 object that can't be decoded)")
	expectStored(t, kin[0].conn, 0, 1, 10, 11)
}

func TestADatabaseThatNoSectionNamesIsWarnedAbout(t *testing.T) {
	t.Parallel()
	kin, text := newKin(t, "main")
	commitRecords(t, kin[0].conn, map[int64][]byte{1: foreignRecord("catalog", 10)})
	failed, reports := packFile(t, text, everything)
	expectFine(t, failed, "main")
	expectWords(t, strings.Join(reports["main"].Notes(), "\n"), `1 reference leads to database "catalog", which no section`)
	expectStored(t, kin[0].conn, 0, 1)
	// Under its own name a database refers to itself.
	commitRecords(t, kin[0].conn, map[int64][]byte{1: foreignRecord("main", 10), 10: nil})
	failed, _ = packFile(t, text, everything)
	expectError(t, failed["main"], fault.ExitRefused, "main (1 reference)")
	commit(t, kin[0].conn, links{1: {}})
	failed, _ = packFile(t, text, everything)
	expectFine(t, failed, "main")
	expectStored(t, kin[0].conn, 0, 1)
}

func TestAStorageOfNoNameMayBeWhatNobodyElseIs(t *testing.T) {
	t.Parallel()
	kin, _ := newKin(t, "users", "main")
	text := fmt.Sprintf("<relstorage>\n<postgresql>\ndsn %s\n</postgresql>\n</relstorage>\n", kin[0].target.DSN) +
		section("main", kin[1].target.DSN)
	commitRecords(t, kin[1].conn, map[int64][]byte{1: foreignRecord("users", 10)})
	failed, _ := packFile(t, text, everything)
	expectError(t, failed[kin[0].conn.Config().Database], fault.ExitRefused, "main (1 reference)")
	expectStored(t, kin[0].conn, 0, 1, 10, 11)
}

// The other database may have got references since it was read.
func TestWhatIsYoungerThanTheLookAtTheOthersStays(t *testing.T) {
	t.Parallel()
	kin, text := newKin(t, "users", "main")
	users, main := kin[0], kin[1]
	acquaint(t, text)
	stored := false
	o := everything
	o.Progress = &hooks{phase: func(name string) {
		// The first deletion is that of users: all were read by then.
		if name == "delete" && !stored {
			stored = true
			litter(t, users.conn, 12, zodbtest.Record(zodbtest.Document))
		}
	}}
	failed, _ := packFile(t, section("main", main.target.DSN)+section("users", users.target.DSN), o)
	expectFine(t, failed, "main", "users")
	expectStored(t, users.conn, 0, 1, 12)
	failed, _ = packFile(t, text, everything)
	expectFine(t, failed, "main", "users")
	expectStored(t, users.conn, 0, 1)
}

func TestStatusNamesOtherDatabases(t *testing.T) {
	t.Parallel()
	kin, text := newKin(t, "users", "main")
	commitRecords(t, kin[1].conn, map[int64][]byte{1: foreignRecord("users", 10), 2: foreignRecord("catalog", 7)})
	commit(t, kin[1].conn, links{0: {1, 2}})
	packFile(t, text, everything)
	file := filepath.Join(t.TempDir(), "site.conf")
	text += "<zodb archive>\n<filestorage>\npath x\n</filestorage>\n</zodb>\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	targets, err := target.Targets(file, "", "")
	if err != nil {
		t.Fatal(err)
	}
	expectWords(t, statusText(t, targets[0]), "1 reference of main leads here", "database archive is in <filestorage>")
	expectWords(t, statusText(t, targets[1]), `1 reference leads to database "users".`, `1 reference leads to database "catalog", which no section`)
}

func TestVerifyMendsWhatIsRecordedOfOtherDatabases(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	commitRecords(t, conn, map[int64][]byte{2: foreignRecord("users", 7, 7, 8)})
	dryRun(t, target)
	verify := func(repair bool) *verify.Report {
		report, err := verify.Run(t.Context(), target, verifyOptions(repair), testLog(t))
		if !repair && err == nil && len(report.Findings) > 0 {
			t.Errorf("findings and no error: %v", report.Findings)
		}
		return report
	}
	recorded := func() []string {
		return lines(t, conn, "SELECT format('%s to %s of %s', inref, zoid, database) FROM relpack.foreign_reference ORDER BY 1")
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
		run(t, conn, "SELECT pg_advisory_xact_lock(-2); "+spoil)
		if found := verify(false).Findings; len(found) != 1 || found[0].Kind != "other_references" {
			t.Errorf("after %s: found %v", spoil, found)
		}
		verify(true)
		if got := fmt.Sprint(recorded()); got != want {
			t.Errorf("after %s and repair: %s", spoil, got)
		}
	}
}

// Two sections that name one database are one storage, whatever they call it.
func TestADatabaseThatIsNamedTwiceIsPackedOnce(t *testing.T) {
	t.Parallel()
	kin, text := newKin(t, "users", "main")
	text += section("again", kin[0].target.DSN)
	acquaint(t, text)
	commitRecords(t, kin[1].conn, map[int64][]byte{1: foreignRecord("again", 11)})
	failed, _ := packFile(t, text, everything)
	expectFine(t, failed, "main")
	expectError(t, failed["users"], fault.ExitRefused, "main (1 reference)")
	expectError(t, failed["again"], fault.ExitRefused, "again is the same database as users", "Name it once")
	expectStored(t, kin[0].conn, 0, 1, 10, 11)
	commit(t, kin[1].conn, links{1: {}})
	acquaint(t, text)
	failed, _ = packFile(t, text, everything)
	expectFine(t, failed, "main", "users")
	expectStored(t, kin[0].conn, 0, 1)
}

func TestAClockThatWasAheadHoldsUpNobodyForEver(t *testing.T) {
	t.Parallel()
	kin, text := newKin(t, "users", "main")
	acquaint(t, text)
	run(t, kin[0].conn, "UPDATE relpack.storage SET unreferred = clock_timestamp() + interval '10 years'")
	for range 2 {
		failed, _ := packFile(t, text, everything)
		expectFine(t, failed, "main", "users")
	}
	expectStored(t, kin[0].conn, 0, 1)
}
