package packtest

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/blobs"
	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/session"
	"relpack/runner/target"
)

// Stages of the sample, in order.
var Stages = []string{zodbtest.Small, zodbtest.Changes, zodbtest.MoreChanges}

// Garbage is what zodbpack would delete at a stage of the sample.
func Garbage(t testing.TB, name string) []int64 {
	t.Helper()
	list, err := zodbtest.Garbage(name)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// A Sample is the sample storage with its blob directory.
type Sample struct {
	T      *testing.T
	Target target.Target
	Conn   *pgx.Conn
}

// NewSample is the sample with all of its blobs.
func NewSample(t *testing.T) *Sample {
	t.Helper()
	target, conn := NewStorage(t)
	target.BlobDir = t.TempDir()
	LoadSmall(t, conn, target.BlobDir)
	return &Sample{t, target, conn}
}

// NewSampleOn is the sample storage on such a server. How the database is
// created may be said in SQL.
func NewSampleOn(t *testing.T, server *pgtest.Server, created string) *Sample {
	t.Helper()
	target := target.Target{
		Name: "main", DSN: server.DSN("postgres"), BlobDir: t.TempDir(),
		CommitLockTimeout: target.DefaultLockTimeout, BatchTimeout: target.DefaultBatchTimeout,
	}
	Run(t, Session(t, target), "CREATE DATABASE site "+created)
	target.DSN = server.DSN("site")
	s := &Sample{t, target, Session(t, target)}
	if err := zodbtest.CreateStorage(t.Context(), s.Conn, zodbtest.V42); err != nil {
		t.Fatal(err)
	}
	if err := zodbtest.Install(t.Context(), s.Conn); err != nil {
		t.Fatal(err)
	}
	LoadSmall(t, s.Conn, target.BlobDir)
	return s
}

// Pack packs the sample, which has to succeed.
func (s *Sample) Pack() *pack.Report {
	s.T.Helper()
	return Pack(s.T, s.Target, Everything)
}

// Change brings the sample to its next stage.
func (s *Sample) Change(name string) {
	s.T.Helper()
	if err := zodbtest.ApplyChanges(s.T.Context(), s.Conn, name); err != nil {
		s.T.Fatal(err)
	}
	if name == zodbtest.MoreChanges {
		if err := zodbtest.ExtractMoreBlobs(s.Target.BlobDir); err != nil {
			s.T.Fatal(err)
		}
	}
}

// ExpectPacked checks a pack at a stage: what went, and that the rest is there
// with all of its files.
func (s *Sample) ExpectPacked(stage string, pack func()) {
	s.T.Helper()
	all, gone := Stored(s.T, s.Conn), Garbage(s.T, stage)
	files := s.survivors(gone)
	pack()
	ExpectZoids(s.T, "stored after "+stage, Stored(s.T, s.Conn), Without(all, gone))
	// Directories above an object's own may go or stay.
	if left := onlyFiles(Files(s.T, s.Target.BlobDir)); !slices.Equal(left, files) {
		s.T.Errorf("%d blob files after %s, want %d", len(left), stage, len(files))
	}
	for _, zoid := range gone {
		entries, err := os.ReadDir(zodbtest.ObjectDir(s.Target.BlobDir, zodbtest.Bushy, zoid))
		if err == nil && len(entries) == 0 {
			s.T.Errorf("the empty blob directory of %d is there after %s", zoid, stage)
		}
	}
	ExpectNothingDangles(s.T, s.Conn)
	ExpectExact(s.T, s.Conn)
}

// survivors are the files in the blob directory but those of objects in gone as
// they are stored; older revisions of these stay.
func (s *Sample) survivors(gone []int64) []string {
	s.T.Helper()
	rows, err := session.Rows(s.T.Context(), s.Conn, pgx.RowToStructByPos[blobs.Blob],
		"SELECT zoid, tid, 0::bigint FROM object_state WHERE zoid = ANY($1)", gone)
	if err != nil {
		s.T.Fatal(err)
	}
	files := onlyFiles(Files(s.T, s.Target.BlobDir))
	for _, r := range rows {
		dir := zodbtest.ObjectDir(s.Target.BlobDir, zodbtest.Bushy, r.Zoid)
		blob := zodbtest.BlobPath(s.Target.BlobDir, zodbtest.Bushy, r.Zoid, r.Tid)
		older := slices.ContainsFunc(files, func(path string) bool {
			return filepath.Dir(path) == dir && path != blob && filepath.Ext(path) == ".blob"
		})
		files = slices.DeleteFunc(files, func(path string) bool {
			return path == blob || (!older && filepath.Dir(path) == dir)
		})
	}
	return files
}

// Survive brings the sample to a stage, lets packs fail there, and wants the
// next one to delete exactly the garbage.
func (s *Sample) Survive(stage string, fail func()) {
	s.T.Helper()
	if stage != zodbtest.Small {
		s.Change(stage)
	}
	s.ExpectPacked(stage, func() {
		fail()
		UntilGone(s.T, s.Conn)
		s.Pack()
	})
	ExpectVerified(s.T, s)
}

// ExpectVerified wants the server itself to find nothing wrong with the graph.
func ExpectVerified(t testing.TB, s *Sample) {
	t.Helper()
	if found := Get[*string](t, s.Conn, `SELECT string_agg(finding, '; ') FROM relpack.verify()
		WHERE severity = 'error' OR remedy = 'relpack pack'`); found != nil {
		t.Errorf("relpack.verify() finds: %s", *found)
	}
}
