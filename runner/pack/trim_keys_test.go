package pack_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
)

// constraintOf names a foreign key of a table by its columns.
func constraintOf(t *testing.T, conn *pgx.Conn, relation, columns string) string {
	t.Helper()
	return packtest.Get[string](t, conn, `SELECT quote_ident(conname) FROM pg_constraint
		WHERE conrelid = $1::regclass AND contype = 'f' AND pg_get_constraintdef(oid) LIKE 'FOREIGN KEY (' || $2 || ') %'`, relation, columns)
}

func TestATrimWantsTheKeysThatRelStorageCreates(t *testing.T) {
	t.Parallel()
	for _, version := range []zodbtest.Version{zodbtest.V15, zodbtest.V21, zodbtest.V30, zodbtest.V35, zodbtest.V42} {
		_, h := newTrimmed(t, version)
		if missing := packtest.Get[*string](t, h.Conn, "SELECT relpack.trim_keys()"); missing != nil {
			t.Errorf("%s lacks %s", version, *missing)
		}
	}
	_, h := newTrimmed(t, zodbtest.V42)
	spoil := map[string]string{
		"SET LOCAL session_replication_role = replica":                                                                     "replica",
		"ALTER TABLE current_object DROP CONSTRAINT current_object_pkey":                                                   "current_object zoid",
		"ALTER TABLE current_object ADD CONSTRAINT a1 FOREIGN KEY (zoid, tid) REFERENCES object_state ON DELETE CASCADE":   "a1 on",
		"CREATE TABLE note (zoid bigint CONSTRAINT note_zoid REFERENCES public.current_object ON DELETE CASCADE)":          "note_zoid on",
		"CREATE TABLE mark (zoid bigint, tid bigint CONSTRAINT mark_tid REFERENCES public.transaction ON DELETE SET NULL)": "mark_tid on",
	}
	for _, key := range [][3]string{{"object_state", "tid", "REFERENCES public.transaction"}, {"object_state", "prev_tid", "REFERENCES public.transaction"},
		{"current_object", "zoid, tid", "REFERENCES public.object_state"}, {"blob_chunk", "zoid, tid", "REFERENCES public.object_state ON DELETE CASCADE"}} {
		name := constraintOf(t, h.Conn, key[0], key[1])
		drop := fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT %s", key[0], name)
		again := fmt.Sprintf("; ALTER TABLE %s ADD FOREIGN KEY (%s) %s", key[0], key[1], key[2])
		says := key[0] + " " + key[1] + " REFERENCES"
		spoil[drop] = says
		spoil[drop+again+" NOT VALID"] = says
		spoil[drop+fmt.Sprintf("; ALTER TABLE %s ADD FOREIGN KEY (%s) REFERENCES public.%s ON DELETE SET NULL", key[0], key[1],
			map[bool]string{true: "transaction", false: "object_state"}[key[0] == "object_state"])] = says
		spoil[fmt.Sprintf("ALTER TABLE %s DISABLE TRIGGER ALL", key[0])] = says
	}
	for statements, says := range spoil {
		tx, err := h.Conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), statements); err != nil {
			t.Fatalf("%s: %v", statements, err)
		}
		packtest.ExpectWords(t, packtest.Get[string](t, h.Conn, "SELECT coalesce(relpack.trim_keys(), 'nothing')"), says)
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestATransactionThatIsNotThereCountsAsOneThatCanBeUndone(t *testing.T) {
	t.Parallel()
	_, h := newTrimmed(t, zodbtest.V42)
	tid := store(t, h, daysAgo(3), map[int64][]byte{0: zodbtest.Record(zodbtest.Document)})
	packtest.Run(t, h.Conn, "UPDATE transaction SET packed = true")
	for _, test := range []struct {
		tids []int64
		want bool
	}{{[]int64{tid}, false}, {[]int64{tid, tid + 1}, true}, {nil, false}} {
		if got := packtest.Get[bool](t, h.Conn, "SELECT relpack.trim_unmarked($1)", test.tids); got != test.want {
			t.Errorf("%v: %v", test.tids, got)
		}
	}
}

func TestATriggerThatKeepsARowOfCurrentObjectIsNamed(t *testing.T) {
	t.Parallel()
	file, h := newTrimmed(t, zodbtest.V42)
	newDiary(t, h)
	packtest.Run(t, h.Conn, `CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
		CREATE TRIGGER keeper BEFORE DELETE ON current_object FOR EACH ROW EXECUTE FUNCTION keep()`)
	_, err := pack.Run(t.Context(), file, trimDays(5), packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "keeper on public.current_object")
}

// A node of a BTree of blobs names their class too.
func TestOnlyFilesOfBlobsAreListedAfterATrim(t *testing.T) {
	t.Parallel()
	file, h := newTrimmed(t, zodbtest.V42)
	blob, node := []byte("\x80\x03cZODB.blob\nBlob\nq\x01.\x80\x03N."), []byte("\x80\x03cBTrees.OOBTree\nOOBucket\nq\x01.\x80\x03cZODB.blob\nBlob\n.")
	first := store(t, h, daysAgo(10), map[int64][]byte{1: blob, 2: node})
	store(t, h, daysAgo(9), map[int64][]byte{1: blob, 2: node})
	if report, err := pack.Run(t.Context(), file, trimDays(5), packtest.Log(t)); err != nil || report.Trimmed.Revisions != 2 {
		t.Fatalf("%+v, %v", report.Trimmed, err)
	}
	if got, want := packtest.Lines(t, h.Conn, "SELECT format('%s %s', zoid, tid) FROM relpack.blob_removal"), fmt.Sprintf("1 %d", first); len(got) != 1 || got[0] != want {
		t.Errorf("%v, want %s", got, want)
	}
}

func TestATrimOfBlobsInTheDatabaseTellsThatAnIndexIsMissing(t *testing.T) {
	t.Parallel()
	file, h := newTrimmed(t, zodbtest.V42)
	packtest.Run(t, h.Conn, "DROP INDEX IF EXISTS relpack_blob_chunk_chunk")
	newDiary(t, h)
	first := packtest.Get[int64](t, h.Conn, "SELECT max(tid) FROM object_state WHERE zoid = 2")
	packtest.Run(t, h.Conn, `INSERT INTO blob_chunk SELECT 2, $1, n, chunk FROM generate_series(10, 5000) AS n,
		(SELECT min(chunk::bigint)::oid AS chunk FROM blob_chunk WHERE zoid = 2 AND tid = $1) AS one`, first)
	packtest.Run(t, h.Conn, "ANALYZE blob_chunk")
	report, err := pack.Run(t.Context(), file, trimDays(5), packtest.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	packtest.ExpectWords(t, report.MissingIndex, "CREATE INDEX CONCURRENTLY")
}
