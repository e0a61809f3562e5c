package why_test

import (
	"context"
	"log/slog"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/migrations"
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
	dsn    string
	conn   *pgx.Conn
	limits look.Limits
}

// newStorage has some objects and a graph of them.
func newStorage(t *testing.T, objects map[int64][]byte) storage {
	t.Helper()
	db := pgtest.NewDatabase(t)
	s := storage{dsn: db.DSN, conn: db.Connect(t)}
	packtest.CommitRecords(t, s.conn, objects)
	program.Pack(t, s.dsn)
	return s
}

// newSample is the sample, a month old.
func newSample(t *testing.T) storage {
	t.Helper()
	db := pgtest.NewDatabase(t)
	s := storage{dsn: db.DSN, conn: db.Connect(t)}
	if err := zodbtest.LoadSmall(t.Context(), s.conn, ""); err != nil {
		t.Fatal(err)
	}
	packtest.Run(t, s.conn, "UPDATE object_state SET tid = tid - (44640::bigint << 32)")
	program.Pack(t, s.dsn)
	return s
}

// ask asks about objects, without one if that is not 0.
func (s storage) ask(t *testing.T, without int64, zoids ...int64) []why.Object {
	t.Helper()
	report, err := s.try(t, without, zoids...)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Objects) != len(zoids) {
		t.Fatalf("%d answers for %d questions", len(report.Objects), len(zoids))
	}
	return report.Objects
}

func (s storage) try(t *testing.T, without int64, zoids ...int64) (*why.Report, error) {
	t.Helper()
	o := why.Options{Zoids: zoids, Migrations: migrations.Files, Limits: s.limits}
	if without != 0 {
		o.Without = &without
	}
	return why.Ask(t.Context(), target.Target{DSN: s.dsn}, o, slog.New(slog.DiscardHandler))
}

// expect wants verdicts.
func (s storage) expect(t *testing.T, want map[int64]look.Verdict) {
	t.Helper()
	for zoid, verdict := range want {
		if got := s.ask(t, 0, zoid)[0]; got.Verdict != verdict {
			t.Errorf("zoid %d: %s, want %s", zoid, got.Verdict, verdict)
		}
	}
}

// record is a persistent mapping's with so many references, by ref0, ref1 ...
func record(refs ...int64) []byte { return zodbtest.Record(zodbtest.Document, refs...) }

// garden is a storage with live objects 0, 1, 2, 3 and garbage 10, 11.
func garden() map[int64][]byte {
	return map[int64][]byte{0: record(1, 3), 1: record(2), 2: record(), 3: record(2), 10: record(11), 11: record(10)}
}
