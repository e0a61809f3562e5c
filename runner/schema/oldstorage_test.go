package schema_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/schema"
	"relpack/runner/status"
	"relpack/runner/target"
)

// newOldStorage is an empty storage as this release made it, which relpack has
// never seen.
func newOldStorage(t *testing.T, version zodbtest.Version) (target.Target, *pgx.Conn) {
	t.Helper()
	target, conn := packtest.NewEmptyDatabase(t)
	if err := zodbtest.CreateStorage(t.Context(), conn, version); err != nil {
		t.Fatal(err)
	}
	target.BlobsInDatabase = true
	return target, conn
}

// commitOld commits as this release does.
func commitOld(t *testing.T, conn *pgx.Conn, version zodbtest.Version, age time.Duration, records map[int64][]byte) int64 {
	t.Helper()
	var tid int64
	if age > 0 {
		tid = zodbtest.TimeTid(time.Now().Add(-age))
	}
	tid, err := zodbtest.CommitAs(t.Context(), conn, version, tid, records)
	if err != nil {
		t.Fatal(err)
	}
	return tid
}

// mixed are records that Python 2 wrote, but for every third.
func mixed(l packtest.Links) map[int64][]byte {
	records := l.Records()
	for zoid, refs := range l {
		if zoid%3 != 0 {
			records[zoid] = zodbtest.RecordPy2(zodbtest.Document, refs...)
		}
	}
	return records
}

// schemaDump is what pg_dump tells of a database's definitions.
func schemaDump(t *testing.T, target target.Target) string {
	t.Helper()
	programs, err := pgtest.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(programs.Dir, "pg_dump")
	if _, err := os.Stat(program); errors.Is(err, fs.ErrNotExist) {
		t.Log("these server programs come without pg_dump: the definitions are not compared")
		return ""
	}
	out, err := exec.CommandContext(t.Context(), program, "--schema-only", "--dbname", target.DSN).CombinedOutput()
	if err != nil {
		t.Fatalf("pg_dump: %v\n%s", err, out)
	}
	// A word that is another one in each dump.
	return strings.Join(slices.DeleteFunc(strings.Split(string(out), "\n"), func(line string) bool {
		return strings.HasPrefix(line, `\restrict `) || strings.HasPrefix(line, `\unrestrict `)
	}), "\n")
}

// rows are all of the storage's, with their bytes.
const rows = "SELECT concat_ws(' ', zoid, tid, state_size, md5(state)) FROM object_state ORDER BY zoid"

func TestAStorageOfEachReleaseIsPackedAndLeftAsItWas(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		version zodbtest.Version
		without string // what this storage never had
	}{
		{zodbtest.V15, ""}, {zodbtest.V15, "blob_chunk"}, {zodbtest.V21, ""}, {zodbtest.V30, ""},
		{zodbtest.V35, ""}, {zodbtest.V42, ""}, {zodbtest.V42, "blob_chunk"},
	} {
		name := test.version.String()
		if test.without != "" {
			name += " without " + test.without
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := newOldStorage(t, test.version)
			l := maps.Clone(packtest.Garden)
			l[0] = []int64{1, 23}
			records := mixed(l)
			blobs := []int64{13, 23} // the first is garbage
			for _, zoid := range blobs {
				records[zoid] = zodbtest.Record(zodbtest.Blob)
			}
			tid := commitOld(t, conn, test.version, 48*time.Hour, records)
			large := 0
			if test.without == "" {
				large = 1
				for _, zoid := range blobs {
					if err := zodbtest.StoreBlobChunks(t.Context(), conn, zoid, tid, []byte("content")); err != nil {
						t.Fatal(err)
					}
				}
			} else {
				packtest.Run(t, conn, "DROP TABLE "+test.without)
			}
			before := schemaDump(t, target)

			packtest.MigrateUp(t, target)
			packtest.Pack(t, target, packtest.Everything)
			packtest.ExpectStored(t, conn, 0, 1, 2, 23)

			// 2 is cut off, a pair of Python 2 and 3 comes and goes.
			commitOld(t, conn, test.version, 0, mixed(packtest.Links{1: {4, 5}, 4: {6}, 5: nil, 6: {4}}))
			commitOld(t, conn, test.version, 0, mixed(packtest.Links{1: {5}}))
			report := packtest.Pack(t, target, packtest.Everything)
			if report.FirstBuild || report.Compared {
				t.Error("the second pack began from the start")
			}
			packtest.ExpectStored(t, conn, 0, 1, 5, 23)
			packtest.ExpectExact(t, conn)
			if n := packtest.Get[int](t, conn, "SELECT count(*) FROM pg_largeobject_metadata"); n != large {
				t.Errorf("%d large objects, want %d", n, large)
			}
			status, err := status.Look(t.Context(), target, migrations.Files, packtest.Log(t))
			if err != nil || !status.Packable || status.Graph == nil || status.Graph.State != "current" ||
				status.Graph.Unreachable.Objects != 0 || status.Graph.Objects != 4 {
				t.Errorf("status %+v, %v", status, err)
			}

			kept := packtest.Lines(t, conn, rows)
			down(t, target)
			if after := schemaDump(t, target); after != before {
				t.Errorf("pg_dump tells of\n%s\nbefore it was\n%s", after, before)
			}
			if after := packtest.Lines(t, conn, rows); !slices.Equal(after, kept) {
				t.Errorf("rows changed from %q to %q", kept, after)
			}
			commitOld(t, conn, test.version, 0, mixed(packtest.Links{7: nil}))
		})
	}
}

func TestNoMigrationWhileAPackOfAnOlderReleaseRuns(t *testing.T) {
	t.Parallel()
	for _, version := range []zodbtest.Version{zodbtest.V15, zodbtest.V21, zodbtest.V30, zodbtest.V35, zodbtest.V42} {
		for _, key := range []int64{version.PackLock(), 23} { // 23: relstorage_packer
			if key == 23 && version >= zodbtest.V35 {
				continue
			}
			t.Run(fmt.Sprintf("%s lock %d", version, key), func(t *testing.T) {
				t.Parallel()
				target, conn := newOldStorage(t, version)
				commitOld(t, conn, version, 48*time.Hour, mixed(packtest.Garden))
				packtest.Run(t, conn, "SET application_name = 'zodbpack'")
				lock := func(function string) { packtest.Run(t, conn, "SELECT "+function+"($1)", key) }
				catalogBefore := packtest.Catalog(t, conn)
				lock("pg_advisory_lock")
				err := schema.Up(t.Context(), target, migrations.Files, packtest.Log(t))
				packtest.ExpectError(t, err, fault.ExitLocked, "zodbpack")
				if after := packtest.Catalog(t, conn); after != catalogBefore {
					t.Errorf("it left\n%s", after)
				}
				lock("pg_advisory_unlock")
				packtest.MigrateUp(t, target)
				lock("pg_advisory_lock")
				err = schema.Down(t.Context(), target, migrations.Files, packtest.Log(t))
				packtest.ExpectError(t, err, fault.ExitLocked, "zodbpack")
				report, err := status.Look(t.Context(), target, migrations.Files, packtest.Log(t))
				if err != nil || report.Graph.Packer == nil || report.Graph.Packer.Application != "zodbpack" {
					t.Errorf("status %+v, %v", report.Graph, err)
				}
				lock("pg_advisory_unlock")
				down(t, target)
			})
		}
	}
}
