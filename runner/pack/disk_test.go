package pack_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"relpack/runner/internal/packtest"
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
	server := packtest.NewServer(t)
	small := filepath.Join(server.Dir(), "small")
	mountSmall(t, small, "48m")
	give(t, server, small)
	packtest.Run(t, packtest.Session(t, target.Target{DSN: server.DSN("postgres")}), "CREATE TABLESPACE small LOCATION '"+small+"'")
	s := packtest.NewSampleOn(t, server, "TABLESPACE small")
	full := 0
	s.Survive(zodbtest.Small, func() {
		for _, phase := range []string{"prepare", "scan", "during scan", "index", "fill", "reach", "choose", "sweep", "vacuum"} {
			free := func() {}
			_, err := packtest.PackWith(t, s.Target, phase, func() { free = fillUp(t, small) })
			free()
			if err != nil {
				// By its code: the sentence differs where part of a page was written.
				packtest.ExpectFailed(t, err, "(SQLSTATE 53100)")
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
	server := packtest.NewServer(t)
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
	s := packtest.NewSampleOn(t, server, "")
	s.Survive(zodbtest.Small, func() {
		for _, phase := range []string{"index", "sweep"} {
			free := func() {}
			_, err := packtest.PackWith(t, s.Target, phase, func() {
				free = fillUp(t, small)
				// More than there is room for: the server panics.
				_, _ = s.Conn.Exec(t.Context(), `SELECT pg_logical_emit_message(false, 'filler', repeat('.', 1000000))
					FROM generate_series(1, 200)`)
			})
			free()
			packtest.ExpectFailed(t, err, "the connection to the server was lost")
			restart(s, server)
		}
	})
}

// newMountedSample is the sample with its blobs in a file system of their own.
func newMountedSample(t *testing.T) *packtest.Sample {
	t.Helper()
	target, conn := packtest.NewStorage(t)
	target.BlobDir = filepath.Join(t.TempDir(), "blobs")
	mountSmall(t, target.BlobDir, "4m")
	packtest.LoadSmall(t, conn, target.BlobDir)
	return &packtest.Sample{T: t, Target: target, Conn: conn}
}

func TestBlobFilesGoFromAFullDisk(t *testing.T) {
	t.Parallel()
	s := newMountedSample(t)
	free := fillUp(t, s.Target.BlobDir)
	s.ExpectPacked(zodbtest.Small, func() { s.Pack() })
	if n := packtest.Get[int](t, s.Conn, "SELECT count(*) FROM relpack.blob_removal"); n != 0 {
		t.Errorf("%d blobs are still to be removed", n)
	}
	packtest.ExpectVerified(t, s)
	free()
}

func TestBlobFilesThatCannotBeRemovedWaitForTheNextPack(t *testing.T) {
	t.Parallel()
	var s *packtest.Sample
	lock, unlock := []string{"chmod", "-R", "a-w"}, []string{"chmod", "-R", "u+w"}
	says, remedy := "permission denied", "Run relpack as the user that owns the blob directory, or let this user write there"
	if os.Geteuid() == 0 { // for whom permissions mean nothing
		s = newMountedSample(t)
		lock, unlock = []string{"mount", "-o", "remount,ro"}, []string{"mount", "-o", "remount,rw"}
		says, remedy = "read-only file system", "Run relpack where it is mounted for writing"
	} else {
		s = packtest.NewSample(t)
	}
	do := func(command []string) {
		t.Helper()
		if out, err := exec.Command(command[0], append(command[1:], s.Target.BlobDir)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", command, err, out)
		}
	}
	s.Survive(zodbtest.Small, func() {
		do(lock)
		files := packtest.Files(t, s.Target.BlobDir)
		report, err := pack.Run(t.Context(), s.Target, packtest.Everything, packtest.Log(t))
		packtest.ExpectFailed(t, err, says, s.Target.BlobDir, "stay listed in relpack.blob_removal for the next run", remedy)
		packtest.ExpectZoids(t, "unreachable and left", packtest.Unreachable(t, s.Conn), nil)
		if report.Deleted.Objects != int64(len(packtest.Garbage(t, zodbtest.Small))) || report.BlobFiles.Waiting == 0 {
			t.Errorf("deleted %d objects, %d blobs wait", report.Deleted.Objects, report.BlobFiles.Waiting)
		}
		if notes := strings.Join(report.Notes(), "\n"); !strings.Contains(notes, "could not be removed") || strings.Contains(notes, "run relpack with the blob directory") {
			t.Errorf("notes %s", notes)
		}
		if left := packtest.Files(t, s.Target.BlobDir); strings.Join(left, "\n") != strings.Join(files, "\n") {
			t.Error("files have changed")
		}
		do(unlock)
	})
	if n := packtest.Get[int](t, s.Conn, "SELECT count(*) FROM relpack.blob_removal"); n != 0 {
		t.Errorf("%d blobs are still to be removed", n)
	}
}

// mountSmall puts a file system of so many megabytes at dir until the test ends.
// Only root may, and not everywhere.
func mountSmall(t testing.TB, dir, size string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "relpack-test", dir).CombinedOutput(); err != nil {
		t.Skipf("a file system of %s can't be mounted here: %v: %s", size, err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "--lazy", dir).CombinedOutput(); err != nil {
			t.Errorf("umount %s: %v: %s", dir, err, out)
		}
	})
}

// fillUp leaves no room in a directory's file system. The returned function
// makes room again.
func fillUp(t testing.TB, dir string) (free func()) {
	t.Helper()
	file, err := os.CreateTemp(dir, ".filler-")
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 1<<20)
	for size := len(block); size >= 512; {
		if _, err := file.Write(block[:size]); err != nil {
			size /= 2
		}
	}
	return func() {
		if err := os.Remove(file.Name()); err != nil {
			t.Error(err)
		}
		_ = file.Close()
	}
}
