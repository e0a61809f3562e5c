package check_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/migrations"
	"relpack/runner/du"
	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/program"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/look"
	"relpack/runner/target"
	"relpack/runner/why"
)

// A standby has no temporary tables, and writes nothing at all.
func TestAHotStandbyAnswers(t *testing.T) {
	t.Parallel()
	server, err := pgtest.Start(t.Context(), pgtest.Options{Settings: map[string]string{"shared_buffers": "32MB"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	s := storage{Target: target.Target{DSN: server.DSN("postgres")}}
	s.connect(t)
	if err := zodbtest.CreateStorage(t.Context(), s.conn, zodbtest.V42); err != nil {
		t.Fatal(err)
	}
	objects := garden()
	objects[2], objects[4] = record(77, 4), zodbtest.Record(zodbtest.Blob)
	packtest.CommitRecords(t, s.conn, objects)
	if err := zodbtest.StoreBlobChunks(t.Context(), s.conn, 4, 1, make([]byte, 3000)); err != nil {
		t.Fatal(err)
	}
	if r := program.Run(t, "migrate", "up", "-q", "--dsn", s.DSN); r.Code != 0 {
		t.Fatal(r)
	}
	program.Pack(t, s.DSN)
	packtest.CommitRecords(t, s.conn, map[int64][]byte{3: record(2, 10, 78)})

	if err := server.StopImmediate(); err != nil {
		t.Fatal(err)
	}
	packtest.MakeStandby(t, filepath.Join(server.Dir(), "data"))
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := s.check(t, fault.ExitRefused); lost(r)[77] != 1 || lost(r)[78] != 1 || r.LostCount != 2 {
		t.Errorf("%+v", r)
	}
	// What its file says of packs holds for the primary's.
	file := filepath.Join(t.TempDir(), "site.conf")
	if err := os.WriteFile(file, []byte(withLine(packtest.Section("one", s.DSN), "read-only true")), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := program.Run(t, "check", file); r.Code != fault.ExitRefused || strings.Contains(r.Stdout+r.Stderr, "read-only") {
		t.Errorf("%+v", r)
	}
	without := int64(3)
	report, err := why.Ask(t.Context(), s.Target, why.Options{Zoids: []int64{2, 11, 77}, Without: &without, Migrations: migrations.Files},
		slog.New(slog.DiscardHandler))
	if err != nil || report.Objects[0].Without.Verdict != look.Alive || report.Objects[1].Verdict != look.Alive ||
		report.Objects[1].Without.Verdict != look.Unreachable || report.Objects[2].Verdict != look.NotStored {
		t.Errorf("%v: %+v", err, report)
	}
	sizes, err := du.Storage(t.Context(), s.Target, du.Options{Depth: 3, Max: 10, Migrations: migrations.Files}, slog.New(slog.DiscardHandler))
	if err != nil || sizes.Top.Objects != 5 || sizes.Top.Blobs != 3000 || len(sizes.Top.Content) != 2 || sizes.Top.Content[0].Name == "" {
		t.Errorf("%v: %+v", err, sizes)
	}
	for _, args := range [][]string{{"report", "--html", filepath.Join(t.TempDir(), "site.html")}, {"blobs"}, {"status"}} {
		if r := program.Run(t, append(args, "--dsn", s.DSN)...); r.Code != 0 {
			t.Errorf("%s: %+v", args[0], r)
		}
	}
}

// connect opens the test's own session.
func (s *storage) connect(t *testing.T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.DSN)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) }) // the server has closed it
	s.conn = conn
}
