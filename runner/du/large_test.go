package du_test

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/du"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/program"
	"relpack/runner/internal/zodbtest"
)

func TestABlobHasTheSizeOfItsLargeObjects(t *testing.T) {
	t.Parallel()
	s := newStorage(t, map[int64][]byte{0: record(1, 4), 1: record(2, 3), 2: zodbtest.Record(zodbtest.Blob), 3: zodbtest.Record(zodbtest.Blob), 4: record()})
	var tid int64
	if err := s.conn.QueryRow(t.Context(), "SELECT max(tid) FROM object_state").Scan(&tid); err != nil {
		t.Fatal(err)
	}
	if err := zodbtest.StoreBlobChunks(t.Context(), s.conn, 2, tid, make([]byte, 1_000_000), make([]byte, 7)); err != nil {
		t.Fatal(err)
	}
	r := s.measure(t, du.Options{})
	if l := lines(r)[1]; l.Blobs != 1_000_007 || r.Blobs.Known != 1 || r.Blobs.Unknown != 1 || r.Blobs.Where != "large objects" || r.LargeObjects == 0 {
		t.Errorf("%+v, %+v", l.Line, r.Blobs)
	}

	// Who only looks may see blob_chunk, and no large object unless that is granted.
	role := s.newRole(t)
	s.run(t, "REVOKE SELECT ON blob_chunk FROM "+role)
	looker := s
	looker.DSN += " user=" + role + " password=looks options='-c default_transaction_read_only=on'"
	if r = looker.measure(t, du.Options{}); r.Blobs.Where != "" || r.Top.Blobs != 0 || r.Top.Objects != 5 || !strings.HasSuffix(r.Blobs.Why, "GRANT SELECT ON public.blob_chunk TO "+role) {
		t.Errorf("%+v", r.Blobs)
	}
	s.run(t, "DO $$ BEGIN EXECUTE (SELECT remedy FROM relpack.missing_privilege('"+role+"', only_look => true)); END $$")
	grant := "GRANT SELECT ON pg_largeobject TO " + role
	if r = looker.measure(t, du.Options{}); r.Blobs.Where != "" || r.Blobs.Unknown != 2 || !strings.HasSuffix(r.Blobs.Why, grant) {
		t.Errorf("%+v", r.Blobs)
	}
	s.run(t, grant)
	if r = looker.measure(t, du.Options{}); r.Top.Blobs != 1_000_007 || r.Blobs.Why != "" {
		t.Errorf("%+v", r.Blobs)
	}
	s.run(t, "REVOKE SELECT ON pg_largeobject FROM "+role)
	s.run(t, `DO $$ DECLARE v_oid oid; BEGIN FOR v_oid IN SELECT chunk FROM blob_chunk LOOP EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO `+role+`', v_oid); END LOOP; END $$`)
	if r = looker.measure(t, du.Options{}); r.Top.Blobs != 1_000_007 {
		t.Errorf("%+v", r.Blobs)
	}
}

// As with files: what was superseded takes space as well, until a pack removes it, but is
// not how long the blob is.
func TestInAHistoryABlobHasTheSizeOfItsCurrentRevision(t *testing.T) {
	t.Parallel()
	empty, conn := packtest.NewEmptyDatabase(t)
	if err := zodbtest.CreateHistory(t.Context(), conn, zodbtest.V42); err != nil {
		t.Fatal(err)
	}
	packtest.MigrateUp(t, empty)
	s, h := storage{Target: empty, conn: conn}, zodbtest.History{Conn: conn, Version: zodbtest.V42}
	blob := zodbtest.Record(zodbtest.Blob)
	var tids []int64
	for i, length := range []int{1_000_000, 10, 300} {
		tid, err := h.CommitBlobs(t.Context(), packtest.DaysAgo(3-float64(i)), map[int64][]byte{0: record(1, 2), 1: blob, 2: blob},
			map[int64][][]byte{1: {make([]byte, length), make([]byte, 1)}})
		if err != nil {
			t.Fatal(err)
		}
		tids = append(tids, tid)
	}
	program.Pack(t, s.DSN)
	r := s.measure(t, du.Options{})
	if l := lines(r)[1]; l.Blobs != 301 || r.Top.Blobs != 301 || r.Blobs.Known != 1 || r.Blobs.Unknown != 1 {
		t.Errorf("%+v, %+v", l.Line, r.Blobs)
	}
	// Undone, it has the large objects of the revision before.
	if _, err := h.Undo(t.Context(), tids[2], 0); err != nil {
		t.Fatal(err)
	}
	if r = s.measure(t, du.Options{}); r.Top.Blobs != 11 {
		t.Errorf("%+v", r.Top.Sum)
	}
}

// newRole may look, as relpack.missing_privilege() says.
func (s storage) newRole(t *testing.T) string {
	t.Helper()
	if strings.Contains(s.DSN, "://") {
		t.Skip("keywords can't be added to a URI")
	}
	role := "du_" + strings.ToLower(regexp.MustCompile(`\W`).ReplaceAllString(s.conn.Config().Database, "_"))
	s.run(t, "CREATE ROLE "+role+" LOGIN PASSWORD 'looks'")
	t.Cleanup(func() {
		ctx := context.Background() // the test's has ended
		if conn, err := pgx.Connect(ctx, s.DSN); err == nil {
			_, _ = conn.Exec(ctx, "DROP OWNED BY "+role+"; DROP ROLE "+role)
			_ = conn.Close(ctx)
		}
	})
	s.run(t, `DO $$
		DECLARE grants text;
		BEGIN
			FOR grants IN SELECT DISTINCT remedy FROM relpack.missing_privilege('`+role+`', only_look => true) LOOP
				EXECUTE grants;
			END LOOP;
		END $$`)
	return role
}
