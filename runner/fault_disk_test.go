package runner

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// give makes a directory the server's own.
func give(t testing.TB, server *pgtest.Server, dir string) {
	t.Helper()
	own, err := os.Stat(server.Dir())
	if err != nil {
		t.Fatal(err)
	}
	as := own.Sys().(*syscall.Stat_t)
	if err := os.Chown(dir, int(as.Uid), int(as.Gid)); err != nil {
		t.Fatal(err)
	}
}

func TestAPackThatFillsTheServersDiskIsFinishedByTheNext(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	small := filepath.Join(server.Dir(), "small")
	mountSmall(t, small, "48m")
	give(t, server, small)
	run(t, sessionOn(t, target.Target{DSN: server.DSN("postgres")}), "CREATE TABLESPACE small LOCATION '"+small+"'")
	s := newSampleOn(t, server, "TABLESPACE small")
	full := 0
	s.survive(zodbtest.Small, func() {
		for _, phase := range []string{"prepare", "scan", "during scan", "index", "fill", "reach", "choose", "sweep", "vacuum"} {
			free := func() {}
			_, err := packWith(t, s.target, phase, func() { free = fillUp(t, small) })
			free()
			if err != nil {
				// By its code: the sentence differs where part of a page was written.
				expectFailed(t, err, "(SQLSTATE 53100)")
				full++
			}
		}
	})
	if full < 3 {
		t.Errorf("the disk was full %d times", full)
	}
}

func TestAPackThatFillsTheDiskOfTheLogIsFinishedByTheNext(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	wal, small := filepath.Join(server.Dir(), "data", "pg_wal"), filepath.Join(server.Dir(), "small")
	mountSmall(t, small, "160m")
	give(t, server, small)
	if err := server.StopImmediate(); err != nil {
		t.Fatal(err)
	}
	// Moved as a DBA would, owners and all.
	if out, err := exec.Command("sh", "-c", `cp -a "$1/." "$2" && rm -r "$1" && ln -s "$2" "$1"`, "sh", wal, small).CombinedOutput(); err != nil {
		t.Fatalf("move pg_wal: %v: %s", err, out)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := newSampleOn(t, server, "")
	s.survive(zodbtest.Small, func() {
		for _, phase := range []string{"index", "sweep"} {
			free := func() {}
			_, err := packWith(t, s.target, phase, func() {
				free = fillUp(t, small)
				// More than there is room for: the server panics.
				_, _ = s.conn.Exec(t.Context(), `SELECT pg_logical_emit_message(false, 'filler', repeat('.', 1000000))
					FROM generate_series(1, 200)`)
			})
			free()
			expectFailed(t, err, "the connection to the server was lost")
			restart(s, server)
		}
	})
}

// newMountedSample is the sample with its blobs in a file system of their own.
func newMountedSample(t *testing.T) *sample {
	t.Helper()
	target, conn := newStorage(t)
	target.BlobDir = filepath.Join(t.TempDir(), "blobs")
	mountSmall(t, target.BlobDir, "4m")
	loadSmall(t, conn, target.BlobDir)
	return &sample{t, target, conn}
}

func TestBlobFilesGoFromAFullDisk(t *testing.T) {
	t.Parallel()
	s := newMountedSample(t)
	free := fillUp(t, s.target.BlobDir)
	s.expectPacked(zodbtest.Small, func() { s.pack() })
	if n := get[int](t, s.conn, "SELECT count(*) FROM relpack.blob_removal"); n != 0 {
		t.Errorf("%d blobs are still to be removed", n)
	}
	expectVerified(t, s)
	free()
}

func TestBlobFilesThatCannotBeRemovedWaitForTheNextPack(t *testing.T) {
	t.Parallel()
	var s *sample
	lock, unlock := []string{"chmod", "-R", "a-w"}, []string{"chmod", "-R", "u+w"}
	says := "permission denied"
	if os.Geteuid() == 0 { // for whom permissions mean nothing
		s = newMountedSample(t)
		lock, unlock = []string{"mount", "-o", "remount,ro"}, []string{"mount", "-o", "remount,rw"}
		says = "read-only file system"
	} else {
		s = newSample(t)
	}
	do := func(command []string) {
		t.Helper()
		if out, err := exec.Command(command[0], append(command[1:], s.target.BlobDir)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", command, err, out)
		}
	}
	s.survive(zodbtest.Small, func() {
		do(lock)
		files := allFiles(t, s.target.BlobDir)
		report, err := pack.Run(t.Context(), s.target, everything, testLog(t))
		expectFailed(t, err, says, s.target.BlobDir, "stay listed in relpack.blob_removal for the next run")
		expectZoids(t, "unreachable and left", unreachable(t, s.conn), nil)
		if report.Deleted.Objects != int64(len(garbage(t, zodbtest.Small))) || report.BlobFiles.Waiting == 0 {
			t.Errorf("deleted %d objects, %d blobs wait", report.Deleted.Objects, report.BlobFiles.Waiting)
		}
		if notes := strings.Join(report.Notes(), "\n"); !strings.Contains(notes, "could not be removed") || strings.Contains(notes, "run relpack with the blob directory") {
			t.Errorf("notes %s", notes)
		}
		if left := allFiles(t, s.target.BlobDir); strings.Join(left, "\n") != strings.Join(files, "\n") {
			t.Error("files have changed")
		}
		do(unlock)
	})
	if n := get[int](t, s.conn, "SELECT count(*) FROM relpack.blob_removal"); n != 0 {
		t.Errorf("%d blobs are still to be removed", n)
	}
}
