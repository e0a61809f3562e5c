package runner

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/pgtest"
	"relpack/runner/target"
)

// restored is a database with what pg_dump, with these options, tells of another.
func restored(t *testing.T, target target.Target, options ...string) (target.Target, *pgx.Conn) {
	t.Helper()
	other, conn := newEmptyDatabase(t)
	run(t, conn, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
	restoreInto(t, other, nil, target, options...)
	return other, conn
}

// restoreInto fills a database with that, by pg_restore with options of its own.
func restoreInto(t *testing.T, other target.Target, restoring []string, target target.Target, options ...string) {
	t.Helper()
	programs, err := pgtest.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dump, restore := filepath.Join(programs.Dir, "pg_dump"), filepath.Join(programs.Dir, "pg_restore")
	for _, program := range []string{dump, restore} {
		if _, err := os.Stat(program); err != nil {
			t.Skipf("these server programs come without it: %v", err)
		}
	}
	file := filepath.Join(t.TempDir(), "site.dump")
	for _, command := range [][]string{
		append([]string{dump, "-Fc", "--file", file, "--dbname", target.DSN}, options...),
		append([]string{restore, "--single-transaction", "--dbname", other.DSN, file}, restoring...),
	} {
		cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
		cmd.Env = pgtest.Environ()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", command, err, out)
		}
	}
}

func TestADumpIsRestoredAndPacked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options []string
		anew    bool
	}{
		"complete":               {nil, false},
		"as the handbook says":   {[]string{"--exclude-table-data=relpack.object", "--exclude-table-data=relpack.object_inref"}, true},
		"without the references": {[]string{"--exclude-table-data=relpack.object_inref"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, conn := newGarden(t)
			// Twice: the graph of the second dump was restored, not built.
			for range 2 {
				target, copied := restored(t, source)
				if report := packStorage(t, target, everything); report.FirstBuild || !report.Compared {
					t.Errorf("complete: first build %v, compared %v", report.FirstBuild, report.Compared)
				}
				expectStored(t, copied, 0, 1, 2)
				target, copied = restored(t, source, c.options...)
				if report := packStorage(t, target, everything); report.FirstBuild != c.anew {
					t.Errorf("first build %v: %s", report.FirstBuild, report.Doubt)
				}
				expectStored(t, copied, 0, 1, 2)
				expectExact(t, copied)
				source, _ = restored(t, source)
			}
			expectStored(t, conn, 0, 1, 2, 10, 11, 12, 13)
		})
	}
}

func TestADumpWithoutRelpacksTablesIsRestoredAndWritten(t *testing.T) {
	t.Parallel()
	source, _ := newGarden(t)
	_, conn := restored(t, source, "-T", "relpack.*")
	commit(t, conn, links{1: {2, 30}, 30: nil})
	restore(t, conn, 2, 5, document(10))
	run(t, conn, "DELETE FROM object_state WHERE zoid = 13; DROP SCHEMA relpack CASCADE")
	if n := get[int](t, conn, "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'relpack%'"); n != 0 {
		t.Errorf("%d triggers are left", n)
	}
}
