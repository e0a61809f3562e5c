package packtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/zodbtest"
	"relpack/runner/session"
)

// Links are objects with what they refer to.
type Links map[int64][]int64

// Records are the objects as records of documents.
func (l Links) Records() map[int64][]byte {
	records := map[int64][]byte{}
	for zoid, refs := range l {
		records[zoid] = zodbtest.Record(zodbtest.Document, refs...)
	}
	return records
}

// Document is a document's record with references to these.
func Document(refs ...int64) []byte { return zodbtest.Record(zodbtest.Document, refs...) }

// Commit stores objects under the tid that RelStorage would choose.
func Commit(t testing.TB, conn *pgx.Conn, l Links) int64 {
	t.Helper()
	return CommitRecords(t, conn, l.Records())
}

// CommitRecords is Commit for records of any kind.
func CommitRecords(t testing.TB, conn *pgx.Conn, records map[int64][]byte) int64 {
	t.Helper()
	tid, err := zodbtest.CommitNow(t.Context(), conn, records)
	if err != nil {
		t.Fatal(err)
	}
	return tid
}

// CommitAt stores objects as if they had been committed so long ago.
func CommitAt(t testing.TB, conn *pgx.Conn, age time.Duration, l Links) int64 {
	t.Helper()
	tid := zodbtest.TimeTid(time.Now().Add(-age))
	if err := zodbtest.Commit(t.Context(), conn, tid, l.Records()); err != nil {
		t.Fatal(err)
	}
	return tid
}

// Load stores objects in bulk, as zodbconvert does, under a tid of an hour ago.
func Load(t testing.TB, conn *pgx.Conn, l Links) {
	t.Helper()
	tid := zodbtest.TimeTid(time.Now().Add(-time.Hour))
	rows := make([][]any, 0, len(l))
	for zoid, record := range l.Records() {
		rows = append(rows, []any{zoid, tid, len(record), record})
	}
	if _, err := conn.CopyFrom(t.Context(), pgx.Identifier{"object_state"},
		[]string{"zoid", "tid", "state_size", "state"}, pgx.CopyFromRows(rows)); err != nil {
		t.Fatal(err)
	}
}

// Restore writes a row with a chosen tid as an operator would who mends a
// POSKeyError.
func Restore(t testing.TB, conn *pgx.Conn, zoid, tid int64, state []byte) {
	t.Helper()
	Run(t, conn, RestoreRow, zoid, tid, state)
}

// RestoreRow is what Restore executes, with zoid, tid and state.
const RestoreRow = `INSERT INTO object_state (zoid, tid, state_size, state) VALUES ($1, $2, coalesce(length($3::bytea), 0), $3)
	ON CONFLICT (zoid) DO UPDATE SET tid = excluded.tid, state_size = excluded.state_size, state = excluded.state`

// Unnoticed executes SQL as if relpack's triggers had never been there, and
// leaves no trace of it: nothing but reading the states again can tell.
func Unnoticed(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	SetTriggers(t, conn, "DISABLE")
	Run(t, conn, sql, args...)
	SetTriggers(t, conn, "ENABLE ALWAYS")
	Run(t, conn, "UPDATE relpack.storage SET trigger_identity = relpack.trigger_identity()")
}

// Rewrite gives object $1 the state $2, and leaves its tid.
const Rewrite = "UPDATE object_state SET state = $2, state_size = length($2::bytea) WHERE zoid = $1"

// SetTriggers alters relpack's triggers on object_state: how is ENABLE ALWAYS, DISABLE ...
func SetTriggers(t *testing.T, conn *pgx.Conn, how string) {
	t.Helper()
	for _, trigger := range ZoidTriggers(t, conn) {
		if how == "ENABLE ALWAYS" && trigger == "relpack_report_applied" {
			Run(t, conn, "ALTER TABLE object_state ENABLE REPLICA TRIGGER "+trigger)
			continue
		}
		Run(t, conn, "ALTER TABLE object_state "+how+" TRIGGER "+trigger)
	}
}

// ZoidTriggers are relpack's triggers on object_state.
func ZoidTriggers(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	names, err := session.Rows(t.Context(), conn, pgx.RowTo[string],
		"SELECT tgname::text FROM pg_trigger WHERE tgrelid = 'object_state'::regclass AND tgname LIKE 'relpack%'")
	if err != nil || len(names) == 0 {
		t.Fatalf("triggers %v, %v", names, err)
	}
	return names
}

// ForeignRecord is a record with references to objects of another database.
func ForeignRecord(database string, oids ...int64) []byte {
	text := "\x80\x03czmodels\nDocument\nq\x00.\x80\x03]q\x01("
	for _, oid := range oids {
		text += fmt.Sprintf("](X\x01\x00\x00\x00mX%c\x00\x00\x00%sC\x08%sczmodels\nDocument\n\x87eQ",
			len(database), database, zodbtest.Oid(oid))
	}
	return []byte(text + "e.")
}

// Opaque are records whose references nobody can tell.
var Opaque = map[string][]byte{
	"truncated":            zodbtest.Truncated(zodbtest.Record(zodbtest.Document, 10)),
	"encrypted":            zodbtest.Encrypted(zodbtest.Record(zodbtest.Document, 10)),
	"cut off compressed":   zodbtest.Truncated(zodbtest.Compressed(zodbtest.PaddedRecord(zodbtest.Document, 500, 10))),
	"truncated compressed": zodbtest.Compressed(zodbtest.Truncated(zodbtest.Record(zodbtest.Document, 10))),
}

// Spoil changes the graph by hand, which its tables refuse to do without the
// pack lock.
func Spoil(t testing.TB, conn *pgx.Conn, statements string) {
	t.Helper()
	Run(t, conn, "SELECT pg_advisory_xact_lock(-2); "+statements)
}

// GiveUpMissing cuts off what hangs on rows that vanished.
func GiveUpMissing(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	Run(t, conn, `SELECT relpack.try_pack_lock();
		SELECT relpack.accept_missing(zoid) FROM relpack.missing;
		SELECT relpack.release_pack_lock()`)
}
