package packtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/pgtest"
	"relpack/runner/target"
)

// Restored is a database with what pg_dump, with these options, tells of another.
func Restored(t *testing.T, target target.Target, options ...string) (target.Target, *pgx.Conn) {
	t.Helper()
	other, conn := NewEmptyDatabase(t)
	Run(t, conn, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
	RestoreInto(t, other, nil, target, options...)
	return other, conn
}

// RestoreInto fills a database with that, by pg_restore with options of its own.
func RestoreInto(t *testing.T, other target.Target, restoring []string, target target.Target, options ...string) {
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
