package graph_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/status"
	"relpack/runner/target"
	"relpack/runner/verify"
)

const renamed = "rights on the schema relpack were changed, or it or a table of it was renamed for a while"

// meanwhile something is written that relpack's triggers do not report.
func meanwhile(before, after string) func(*testing.T, *pgx.Conn, func()) {
	return func(t *testing.T, conn *pgx.Conn, write func()) {
		packtest.Run(t, conn, before)
		write()
		packtest.Run(t, conn, after)
	}
}

// doubts are the ways in which a graph may have stopped describing its storage
// without a word: each is noticed, named, and healed by comparing. Meanwhile
// object 2 comes to refer to garbage, with nothing to tell of it.
var doubts = map[string]struct {
	message string
	arise   func(t *testing.T, conn *pgx.Conn, write func())
}{
	"triggers disabled": {
		"relpack's triggers were disabled or replaced for a while",
		func(t *testing.T, conn *pgx.Conn, write func()) {
			packtest.SetTriggers(t, conn, "DISABLE")
			write()
			packtest.SetTriggers(t, conn, "ENABLE ALWAYS")
		},
	},
	"triggers dropped": {
		"relpack's triggers were disabled or replaced for a while",
		func(t *testing.T, conn *pgx.Conn, write func()) {
			packtest.Run(t, conn, "SELECT relpack.drop_triggers()")
			write()
			packtest.Run(t, conn, "SELECT relpack.create_triggers()")
		},
	},
	"schema renamed":  {renamed, meanwhile("ALTER SCHEMA relpack RENAME TO elsewhere", "ALTER SCHEMA elsewhere RENAME TO relpack")},
	"storage renamed": {renamed, meanwhile("ALTER TABLE relpack.storage RENAME TO elsewhere", "ALTER TABLE relpack.elsewhere RENAME TO storage")},
	"tables set aside": {renamed, meanwhile(
		"CREATE SCHEMA elsewhere; ALTER TABLE relpack.storage SET SCHEMA elsewhere; ALTER TABLE relpack.write_event SET SCHEMA elsewhere",
		"ALTER TABLE elsewhere.storage SET SCHEMA relpack; ALTER TABLE elsewhere.write_event SET SCHEMA relpack")},
	"a copy of the events": {renamed, meanwhile(
		"ALTER TABLE relpack.write_event RENAME TO before; CREATE TABLE relpack.write_event (LIKE relpack.before INCLUDING ALL)",
		"DROP TABLE relpack.write_event; ALTER TABLE relpack.before RENAME TO write_event")},
	"a copy of the schema": {renamed, meanwhile( // a dump, that somebody looks at
		`ALTER SCHEMA relpack RENAME TO elsewhere; CREATE SCHEMA relpack;
			CREATE TABLE relpack.storage (LIKE elsewhere.storage INCLUDING ALL);
			INSERT INTO relpack.storage (only_row, watermark, graph) SELECT only_row, watermark, graph FROM elsewhere.storage;
			CREATE TABLE relpack.write_event (LIKE elsewhere.write_event INCLUDING ALL);
			CREATE TABLE relpack.blob_removal (LIKE elsewhere.blob_removal INCLUDING ALL)`,
		"SET client_min_messages = warning; DROP SCHEMA relpack CASCADE; ALTER SCHEMA elsewhere RENAME TO relpack")},
	"another table": {
		"object_state is another table than before",
		func(t *testing.T, conn *pgx.Conn, write func()) {
			packtest.Run(t, conn, `ALTER TABLE object_state RENAME TO older;
				CREATE TABLE object_state (LIKE older INCLUDING ALL);
				INSERT INTO object_state SELECT * FROM older`)
			write()
			packtest.Run(t, conn, "SELECT relpack.create_triggers()")
		},
	},
	"an earlier transaction": {
		"the storage has gone back to an earlier transaction",
		func(t *testing.T, conn *pgx.Conn, write func()) {
			// As if the server were restored to an earlier moment, but for our tables.
			packtest.SetTriggers(t, conn, "DISABLE")
			packtest.Run(t, conn, "UPDATE object_state SET tid = tid - 1")
			write()
			packtest.SetTriggers(t, conn, "ENABLE ALWAYS")
			packtest.Run(t, conn, "UPDATE relpack.storage SET trigger_identity = relpack.trigger_identity()")
		},
	},
}

func TestADoubtIsNamedAndHealedByComparing(t *testing.T) {
	t.Parallel()
	for name, doubt := range doubts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewGarden(t)
			doubt.arise(t, conn, func() { packtest.Restore(t, conn, 2, 5, packtest.Document(10)) })
			expectDoubt(t, target, conn, doubt.message)
			log := &pgtest.Log{}
			report, err := pack.Run(t.Context(), target, packtest.Everything, log.Logger())
			if err != nil || !report.Compared || report.Doubt != doubt.message {
				t.Errorf("%v, compared %v, doubt %q", err, report.Compared, report.Doubt)
			}
			how := "every object's tid is compared"
			if name == "another table" { // with other columns
				how = "every state is read again and compared"
			}
			packtest.ExpectWords(t, log.String(), doubt.message+": "+how)
			if report.FirstBuild {
				t.Error("it was built anew")
			}
			packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
			packtest.ExpectExact(t, conn)
			if report := packtest.Pack(t, target, packtest.Everything); report.Compared || report.Scanned.Objects > 0 {
				t.Errorf("compared again: %v, %d states read", report.Compared, report.Scanned.Objects)
			}
		})
	}
}

// expectDoubt wants everybody who could delete or look to be told.
func expectDoubt(t *testing.T, target target.Target, conn *pgx.Conn, message string) {
	t.Helper()
	if got := packtest.Get[string](t, conn, "SELECT coalesce(relpack.doubt(), 'none')"); got != message {
		t.Errorf("doubt %q, want %q", got, message)
	}
	before := packtest.Stored(t, conn)
	_, err := conn.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
	packtest.ExpectError(t, err, fault.ExitRefused, "the graph may not match the storage: "+message, "relpack pack")
	packtest.ExpectStored(t, conn, before...)
	status, err := status.Look(t.Context(), target, migrations.Files, packtest.Log(t))
	if err != nil || status.Graph.Doubt == nil || *status.Graph.Doubt != message {
		t.Errorf("status %+v, %v", status.Graph, err)
	}
}

// The site goes on, whatever somebody else has not committed, and whoever has seen it before.
func TestNobodyIsRefusedWhileTheSchemaIsElsewhere(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	older, open := packtest.Session(t, target), packtest.Session(t, target)
	packtest.Run(t, older, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM object_state")
	packtest.Run(t, conn, "ALTER SCHEMA relpack RENAME TO elsewhere")
	packtest.Run(t, open, "BEGIN")
	packtest.Restore(t, open, 2, 5, packtest.Document(11))
	packtest.Run(t, older, "SET statement_timeout = '10s'")
	newer := packtest.Get[int64](t, conn, "SELECT max(tid) + 10 FROM object_state")
	packtest.Run(t, older, packtest.RestoreRow, 1, newer, packtest.Document(2))
	packtest.Run(t, older, "COMMIT")
	packtest.Run(t, open, "COMMIT")
	packtest.Run(t, conn, "ALTER SCHEMA elsewhere RENAME TO relpack")
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
}

func TestASubscribedTableIsDoubtedUntilItIsOneNoMore(t *testing.T) {
	t.Parallel()
	publisher, subscriber, target := newSubscriber(t)
	received := func(zoid int64) { received(t, subscriber, zoid) }
	received(13)
	_, err := pack.Run(t.Context(), target, packtest.Everything, packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "the graph may not match the storage: object_state receives rows by logical replication, which fires no triggers")
	packtest.Restore(t, publisher, 2, 5, packtest.Document(11))
	packtest.Commit(t, publisher, packtest.Links{30: nil})
	received(30)
	_, err = subscriber.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
	packtest.ExpectError(t, err, fault.ExitRefused, "by logical replication")
	packtest.Run(t, subscriber, "DROP SUBSCRIPTION zodb")
	if report := packtest.Pack(t, target, packtest.Everything); !report.Compared {
		t.Error("nothing was compared")
	}
	packtest.ExpectStored(t, subscriber, 0, 1, 2, 10, 11, 12, 13, 30)
	packtest.ExpectExact(t, subscriber)
	if report := packtest.Pack(t, target, packtest.Everything); report.Compared {
		t.Error("compared again")
	}
}

// storageOn creates a database with an empty storage on a server of its own.
func storageOn(t *testing.T, server *pgtest.Server, name string) *pgx.Conn {
	t.Helper()
	if _, _, err := pgtest.CreateDatabase(t.Context(), server.DSN("postgres"), name); err != nil {
		t.Fatal(err)
	}
	conn := packtest.Session(t, target.Target{DSN: server.DSN(name)})
	if err := zodbtest.CreateStorage(t.Context(), conn, zodbtest.V42); err != nil {
		t.Fatal(err)
	}
	return conn
}

// A dump that leaves out the large tables, as the handbook says, and more.
func TestADumpWithoutPartsOfTheGraphIsNotBelieved(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lose       string
		says       string
		firstBuild bool
	}{
		"the references":         {"object_inref", "relpack.object_inref has 0 rows, not 6: the graph is built again, as with --init", true},
		"the objects":            {"object", "relpack.object has 0 rows, not 7: the graph is built again, as with --init", true},
		"objects and references": {"object, relpack.object_inref", "the graph is built again, as with --init", true},
		"the row of storage":     {"storage", "building the graph", true},
		"everything but storage": {"object, relpack.object_inref, relpack.class, relpack.doomed, relpack.problem, relpack.pending, relpack.suspect, relpack.run", "the graph is built again, as with --init", true},
		"everything but classes": {"object, relpack.object_inref, relpack.storage, relpack.doomed, relpack.problem", "building the graph", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewGarden(t)
			packtest.Spoil(t, conn, "TRUNCATE relpack."+c.lose)
			// A restored table has another oid, and its triggers are new.
			doubts["another table"].arise(t, conn, func() {})
			_, err := conn.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
			if err == nil {
				t.Error("a sweep believes it")
			}
			log := &pgtest.Log{}
			report, err := pack.Run(t.Context(), target, packtest.Everything, log.Logger())
			if err != nil || report.FirstBuild != c.firstBuild {
				t.Fatalf("%v, first build %v\n%s", err, report.FirstBuild, log)
			}
			packtest.ExpectWords(t, log.String(), c.says)
			packtest.ExpectStored(t, conn, 0, 1, 2)
			packtest.ExpectExact(t, conn)
		})
	}
}

func TestAConfigurationWithoutGarbageCollectionIsRefused(t *testing.T) {
	t.Parallel()
	stored, conn := packtest.NewGarden(t)
	file := filepath.Join(t.TempDir(), "site.conf")
	text := "<relstorage>\nkeep-history false\npack-gc false\n<postgresql>\ndsn " + stored.DSN + "\n</postgresql>\n</relstorage>\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	targets, err := target.Targets(file, "", "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = pack.Run(t.Context(), targets[0], packtest.Everything, packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "site.conf:3: pack-gc is false", "only other databases refer to")
	_, err = verify.Run(t.Context(), targets[0], packtest.VerifyOptions(true), packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "pack-gc is false")
	packtest.ExpectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
}

func TestReferencesToOtherDatabasesAreCountedAndTold(t *testing.T) {
	t.Parallel()
	target, conn := newMixed(t, map[int64][]byte{2: foreign(10), 11: foreign(12)})
	report := packtest.Pack(t, target, packtest.Everything)
	if report.ForeignReferences != 2 {
		t.Errorf("%d foreign references", report.ForeignReferences)
	}
	packtest.ExpectWords(t, strings.Join(report.Notes(), "\n"), `2 references lead to database "other", which no section`)
	// One to zoid 10 of another database keeps none of this one.
	packtest.ExpectStored(t, conn, 0, 1, 2)
}

// foreign is a record with a reference to an object of a database "other".
func foreign(zoid int64) []byte {
	return []byte("\x80\x03czmodels\nDocument\nq\x00.\x80\x03](X\x01\x00\x00\x00nX\x05\x00\x00\x00otherC\x08" +
		string(zodbtest.Oid(zoid)) + "\x86eQ.")
}
