package check_test

import (
	"context"
	"log/slog"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/migrations"
	"relpack/runner/check"
	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/program"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/look"
	"relpack/runner/target"
	"relpack/runner/why"
)

func TestMain(m *testing.M) {
	os.Exit(program.Main(m, func(ctx context.Context, conn *pgx.Conn) error {
		return zodbtest.CreateStorage(ctx, conn, zodbtest.V42)
	}))
}

// A storage is a test's own.
type storage struct {
	target.Target
	conn *pgx.Conn
}

// newStorage has some objects and a graph of them.
func newStorage(t *testing.T, objects map[int64][]byte) storage {
	t.Helper()
	s := newEmpty(t)
	packtest.CommitRecords(t, s.conn, objects)
	program.Pack(t, s.DSN)
	return s
}

func newEmpty(t *testing.T) storage {
	t.Helper()
	db := pgtest.NewDatabase(t)
	return storage{target.Target{DSN: db.DSN}, db.Connect(t)}
}

// tryPack packs a storage that refuses to be.
func (s storage) tryPack(t *testing.T) {
	t.Helper()
	program.Run(t, "pack", "--quiet", "--dry-run", "--dsn", s.DSN)
}

// check wants an exit code: 0 if nothing is broken, 4 if something is.
func (s storage) check(t *testing.T, code int) *check.Report {
	t.Helper()
	r, err := s.checked(t, check.Options{Max: 5})
	if got := fault.ExitCode(err); got != code {
		t.Errorf("exit code %d, want %d: %v", got, code, err)
	}
	return r
}

// broken is what "relpack why" says of a state that can't be loaded.
func (s storage) broken(t *testing.T, zoid int64) string {
	t.Helper()
	r, err := why.Ask(t.Context(), s.Target, why.Options{Zoids: []int64{zoid}, Migrations: migrations.Files}, slog.New(slog.DiscardHandler))
	if err != nil || r.Objects[0].Verdict != look.Alive {
		t.Fatalf("%+v, %v", r, err)
	}
	return r.Objects[0].Broken
}

func (s storage) checked(t *testing.T, o check.Options) (*check.Report, error) {
	t.Helper()
	o.Migrations = migrations.Files
	return check.Storage(t.Context(), s.Target, o, slog.New(slog.DiscardHandler))
}

// record is a document's with so many references, by ref0, ref1 ...
func record(refs ...int64) []byte { return zodbtest.Record(zodbtest.Document, refs...) }

// garden is a storage with live objects 0 to 3 and garbage 10, 11.
func garden() map[int64][]byte {
	return map[int64][]byte{0: record(1, 3), 1: record(2), 2: record(), 3: record(2), 10: record(11), 11: record(10)}
}
