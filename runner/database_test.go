package runner

import (
	"context"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/schema"
	"relpack/runner/session"
	"relpack/runner/status"
	"relpack/runner/target"
)

// catalog is all that somebody created in a database, one object a line.
func catalog(t testing.TB, conn *pgx.Conn) string {
	t.Helper()
	return get[string](t, conn, `
		SELECT coalesce(string_agg(entry, E'\n' ORDER BY entry), '')
		FROM (
		    SELECT 'schema ' || nspname || coalesce(' ' || obj_description(oid, 'pg_namespace'), '')
		    FROM pg_namespace
		    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
		    UNION ALL
		    SELECT 'relation ' || oid::regclass
		    FROM pg_class
		    WHERE oid >= 16384 AND relnamespace::regnamespace::text !~ '^pg_'
		    UNION ALL
		    SELECT 'trigger ' || tgname || ' ' || tgrelid::regclass
		    FROM pg_trigger
		    WHERE NOT tgisinternal
		    UNION ALL
		    SELECT 'function ' || oid::regprocedure
		    FROM pg_proc
		    WHERE oid >= 16384
		) AS created (entry)`)
}

// expectRefusal wants the exit code of a refusal, one line, and these words.
func expectRefusal(t testing.TB, err error, words ...string) {
	t.Helper()
	expectError(t, err, fault.ExitRefused, words...)
}

func expectError(t testing.TB, err error, code int, words ...string) {
	t.Helper()
	if got := fault.ExitCode(err); got != code {
		t.Fatalf("exit code %d, want %d: %v", got, code, err)
	}
	text := fault.Message(err)
	if strings.Contains(text, "\n") {
		t.Errorf("more than one line: %q", text)
	}
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%q does not say %q", text, word)
		}
	}
}

func TestADatabaseThatIsNotFitForRelpackIsRefusedAndLeftAlone(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		prepare func(ctx context.Context, conn *pgx.Conn) error
		says    []string
	}{
		{"no storage", nil, []string{"no table object_state"}},
		{"a storage in another schema", func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "CREATE SCHEMA plone; SET search_path = plone")
			if err != nil {
				return err
			}
			return zodbtest.CreateStorage(ctx, conn, zodbtest.V42)
		}, []string{"schema plone", "none in public"}},
		{"a history-preserving storage", zodbtest.CreateHistoryPreserving,
			[]string{"history-preserving", "prev_tid", "zodbpack"}},
		{"a history-preserving storage known by its tables", func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "CREATE TABLE object_state (zoid bigint, tid bigint, state_size bigint, state bytea); CREATE TABLE current_object (zoid bigint)")
			return err
		}, []string{"history-preserving", "table current_object"}},
		{"another object_state", func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "CREATE TABLE object_state (zoid bigint, tid bigint, state bytea)")
			return err
		}, []string{"no column state_size"}},
		{"a schema relpack of somebody else", func(ctx context.Context, conn *pgx.Conn) error {
			if err := zodbtest.CreateStorage(ctx, conn, zodbtest.V42); err != nil {
				return err
			}
			_, err := conn.Exec(ctx, "CREATE SCHEMA relpack; CREATE TABLE relpack.theirs ()")
			return err
		}, []string{"schema relpack", "relpack did not create"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			target, conn := newEmptyDatabase(t)
			if test.prepare != nil {
				if err := test.prepare(t.Context(), conn); err != nil {
					t.Fatal(err)
				}
			}
			before := catalog(t, conn)
			expectRefusal(t, schema.Up(t.Context(), target, migrations.Files, testLog(t)), test.says...)
			expectRefusal(t, schema.CheckInstalled(t.Context(), conn, target, migrations.Files), test.says...)
			if after := catalog(t, conn); after != before {
				t.Errorf("the catalogs changed from\n%s\nto\n%s", before, after)
			}
		})
	}
}

func TestAnOldServerIsRefused(t *testing.T) {
	t.Parallel()
	d := schema.Database{Major: 14, Server: "14.9 (Debian 14.9-1)", Name: "plone", Storage: true}
	expectRefusal(t, d.CheckStorage(), "PostgreSQL 14.9", "15 or newer")
	expectRefusal(t, d.CheckRemovable(t.Context(), nil, migrations.Files), "15 or newer")
}

func TestAStandbyIsRefusedAndItsStatusShown(t *testing.T) {
	t.Parallel()
	server, err := pgtest.Start(t.Context(), pgtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}()
	target := target.Target{DSN: server.DSN("postgres")}
	func() {
		conn, err := pgx.Connect(t.Context(), target.DSN)
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close(conn)
		if err := zodbtest.CreateStorage(t.Context(), conn, zodbtest.V42); err != nil {
			t.Fatal(err)
		}
		if err := schema.Up(t.Context(), target, migrations.Files, testLog(t)); err != nil {
			t.Fatal(err)
		}
	}()
	if err := server.StopImmediate(); err != nil {
		t.Fatal(err)
	}
	makeStandby(t, filepath.Join(server.Dir(), "data"))
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	expectRefusal(t, schema.Up(t.Context(), target, migrations.Files, testLog(t)), "standby")
	expectRefusal(t, schema.Down(t.Context(), target, migrations.Files, testLog(t)), "standby")
	report, err := status.Look(t.Context(), target, migrations.Files, testLog(t))
	if err != nil || !report.Standby || report.Graph == nil || !strings.Contains(report.Advice, "primary") {
		t.Errorf("%+v, %v", report, err)
	}
}

// makeStandby lets a stopped server start as a standby without a primary.
func makeStandby(t *testing.T, dir string) {
	t.Helper()
	file := filepath.Join(dir, "standby.signal")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	if err := os.Chown(file, int(owner.Uid), int(owner.Gid)); err != nil {
		t.Fatal(err)
	}
}

func TestAMissingPrivilegeIsNamedWithTheRole(t *testing.T) {
	t.Parallel()
	bare, admin := newBareStorage(t)
	role := newRole(t, admin)
	before := catalog(t, admin)
	expectRefusal(t, schema.Up(t.Context(), as(bare, role), migrations.Files, testLog(t)),
		"role "+role, "own public.object_state")
	run(t, admin, "ALTER TABLE object_state OWNER TO "+role)
	expectRefusal(t, schema.Up(t.Context(), as(bare, role), migrations.Files, testLog(t)),
		"role "+role, "GRANT CREATE ON DATABASE")
	if after := catalog(t, admin); after != before {
		t.Errorf("the catalogs changed from\n%s\nto\n%s", before, after)
	}
	run(t, admin, "GRANT CREATE ON DATABASE "+admin.Config().Database+" TO "+role)
	if err := schema.Up(t.Context(), as(bare, role), migrations.Files, testLog(t)); err != nil {
		t.Fatalf("the owner of object_state can't install relpack: %v", err)
	}
	run(t, admin, "GRANT SELECT ON blob_chunk TO "+role)
	if err := schema.CheckMayPack(t.Context(), connectAs(t, bare, role)); err != nil {
		t.Error(err)
	}
	other := newRole(t, admin)
	expectRefusal(t, schema.Down(t.Context(), as(bare, other), migrations.Files, testLog(t)), "role "+other, "schema relpack")
}

// newRole makes a role that may connect and nothing else.
func newRole(t *testing.T, admin *pgx.Conn) string {
	t.Helper()
	role := get[string](t, admin, "SELECT 'role_' || md5(random()::text)")
	run(t, admin, "CREATE ROLE "+role+" LOGIN PASSWORD '"+role+"'")
	t.Cleanup(func() {
		ctx := context.Background()
		conn, err := pgx.ConnectConfig(ctx, admin.Config())
		if err != nil {
			t.Error(err)
			return
		}
		defer session.Close(conn)
		if _, err := conn.Exec(ctx, "DROP OWNED BY "+role+" CASCADE; DROP ROLE "+role); err != nil {
			t.Error(err)
		}
	})
	return role
}

// as is the target with another role, which begins the session, and more
// settings: one that a superuser takes with SET ROLE is still his.
func as(t target.Target, role string, settings ...string) target.Target {
	t = set(set(t, "user", role), "password", role)
	if len(settings) > 0 {
		t = set(t, "options", "-c "+strings.Join(settings, " -c "))
	}
	return t
}

// set gives a keyword of the connection string another value.
func set(t target.Target, keyword, value string) target.Target {
	switch {
	case !strings.Contains(t.DSN, "://"):
		t.DSN += " " + keyword + "='" + value + "'"
	case strings.Contains(t.DSN, "?"):
		t.DSN += "&" + keyword + "=" + url.PathEscape(value)
	default:
		t.DSN += "?" + keyword + "=" + url.PathEscape(value)
	}
	return t
}

func connectAs(t *testing.T, target target.Target, role string) *pgx.Conn {
	t.Helper()
	conn, err := session.Open(t.Context(), as(target, role), "test", testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close(conn) })
	return conn
}

func TestAnotherVersionOfTheSchemaIsNamedWithTheRemedy(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	check := func() error { return schema.CheckInstalled(t.Context(), conn, target, migrations.Files) }
	if err := check(); err != nil {
		t.Fatal(err)
	}
	latest, err := schema.LatestMigration(migrations.Files)
	if err != nil {
		t.Fatal(err)
	}
	run(t, conn, "DELETE FROM relpack.goose_db_version WHERE version_id = $1", latest)
	expectRefusal(t, check(), `"relpack migrate up"`)
	run(t, conn, "INSERT INTO relpack.goose_db_version (version_id, is_applied) VALUES ($1, true), ($2, true)", latest, latest+7)
	run(t, conn, "INSERT INTO relpack.run (version) VALUES ('9.8.7')")
	for name, err := range map[string]error{
		"check": check(),
		"up":    schema.Up(t.Context(), target, migrations.Files, testLog(t)),
		"down":  schema.Down(t.Context(), target, migrations.Files, testLog(t)),
	} {
		t.Run(name, func(t *testing.T) {
			expectRefusal(t, err, "older than the schema", "relpack >= 9.8.7")
		})
	}
	_, conn = newBareStorage(t)
	expectRefusal(t, schema.CheckInstalled(t.Context(), conn, target, migrations.Files), "not installed", conn.Config().Database, `"relpack migrate up"`)
}

// withMore is the migrations of a newer relpack.
func withMore(t *testing.T, name, text string) fs.FS {
	t.Helper()
	files := fstest.MapFS{name: {Data: []byte(text)}}
	names, err := fs.Glob(migrations.Files, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := fs.ReadFile(migrations.Files, name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: data}
	}
	return files
}
