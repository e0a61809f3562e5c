package pgtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestAnUnusableProgramDirectoryIsNamed(t *testing.T) {
	tests := []struct{ name, version, mentions string }{
		{"nothing there", "", "no program initdb"},
		{"too old", "postgres (PostgreSQL) 14.12 (Ubuntu 14.12-0ubuntu0.22.04.1)", "is version 14, relpack needs 15"},
		{"something else", "postgres 3000", "names no version"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if test.version != "" {
				fakePrograms(t, dir, test.version)
			}
			t.Setenv("RELPACK_PGBIN", dir)
			_, err := Find(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.mentions) || !strings.Contains(err.Error(), dir) {
				t.Errorf("error %v, want %q and %s in it", err, test.mentions, dir)
			}
		})
	}
}

func TestProgramsAreFoundWhereTheEnvironmentSays(t *testing.T) {
	dir := t.TempDir()
	fakePrograms(t, dir, "postgres (PostgreSQL) 19beta1")
	t.Setenv("RELPACK_PGBIN", dir)
	found, err := Find(t.Context())
	if err != nil || found != (Programs{dir, 19}) {
		t.Errorf("%+v, %v", found, err)
	}
}

func fakePrograms(t *testing.T, dir, version string) {
	t.Helper()
	for _, name := range []string{"initdb", "postgres", "pg_ctl"} {
		script := "#!/bin/sh\necho '" + version + "'\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAConnectionStringLeadsToAnotherDatabase(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{
		"host=/run user=u",
		"host=/run dbname=postgres user=u",
		"host=/run user=u dbname=postgres",
		"user=u host=/run dbname='postgres'",
		"postgres://u@/postgres?host=/run",
		"postgresql://u@?host=/run&connect_timeout=5",
		"postgres://u@%2Frun",
	} {
		changed := withDatabase(dsn, "other")
		config, err := pgx.ParseConfig(changed)
		if err != nil || config.Database != "other" || config.Host != "/run" || config.User != "u" {
			t.Errorf("%s became %s: %v", dsn, changed, err)
		}
	}
	if got := withDatabase("host=h dbname=postgres", "other"); got != "host=h dbname=other" {
		t.Errorf("became %s", got)
	}
}
