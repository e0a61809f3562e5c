package schema_test

import (
	"context"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"

	"relpack/migrations"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/schema"
	"relpack/runner/session"
	"relpack/runner/status"
	"relpack/runner/target"
)

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
			target, conn := packtest.NewEmptyDatabase(t)
			if test.prepare != nil {
				if err := test.prepare(t.Context(), conn); err != nil {
					t.Fatal(err)
				}
			}
			before := packtest.Catalog(t, conn)
			packtest.ExpectRefusal(t, schema.Up(t.Context(), target, migrations.Files, packtest.Log(t)), test.says...)
			packtest.ExpectRefusal(t, schema.CheckInstalled(t.Context(), conn, target, migrations.Files), test.says...)
			if after := packtest.Catalog(t, conn); after != before {
				t.Errorf("the catalogs changed from\n%s\nto\n%s", before, after)
			}
		})
	}
}

func TestAnOldServerIsRefused(t *testing.T) {
	t.Parallel()
	d := schema.Database{Major: 14, Server: "14.9 (Debian 14.9-1)", Name: "plone", Storage: true}
	packtest.ExpectRefusal(t, d.CheckStorage(), "PostgreSQL 14.9", "15 or newer")
	packtest.ExpectRefusal(t, d.CheckRemovable(t.Context(), nil, migrations.Files), "15 or newer")
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
		if err := schema.Up(t.Context(), target, migrations.Files, packtest.Log(t)); err != nil {
			t.Fatal(err)
		}
	}()
	if err := server.StopImmediate(); err != nil {
		t.Fatal(err)
	}
	packtest.MakeStandby(t, filepath.Join(server.Dir(), "data"))
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	packtest.ExpectRefusal(t, schema.Up(t.Context(), target, migrations.Files, packtest.Log(t)), "standby")
	packtest.ExpectRefusal(t, schema.Down(t.Context(), target, migrations.Files, packtest.Log(t)), "standby")
	report, err := status.Look(t.Context(), target, migrations.Files, packtest.Log(t))
	if err != nil || !report.Standby || report.Graph == nil || !strings.Contains(report.Advice, "primary") {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestAMissingPrivilegeIsNamedWithTheRole(t *testing.T) {
	t.Parallel()
	bare, admin := packtest.NewBareStorage(t)
	role := packtest.NewRole(t, admin)
	before := packtest.Catalog(t, admin)
	packtest.ExpectRefusal(t, schema.Up(t.Context(), packtest.As(bare, role), migrations.Files, packtest.Log(t)),
		"role "+role, "own public.object_state")
	packtest.Run(t, admin, "ALTER TABLE object_state OWNER TO "+role)
	packtest.ExpectRefusal(t, schema.Up(t.Context(), packtest.As(bare, role), migrations.Files, packtest.Log(t)),
		"role "+role, "GRANT CREATE ON DATABASE")
	if after := packtest.Catalog(t, admin); after != before {
		t.Errorf("the catalogs changed from\n%s\nto\n%s", before, after)
	}
	packtest.Run(t, admin, "GRANT CREATE ON DATABASE "+admin.Config().Database+" TO "+role)
	if err := schema.Up(t.Context(), packtest.As(bare, role), migrations.Files, packtest.Log(t)); err != nil {
		t.Fatalf("the owner of object_state can't install relpack: %v", err)
	}
	packtest.Run(t, admin, "GRANT SELECT ON blob_chunk TO "+role)
	if err := schema.CheckMayPack(t.Context(), connectAs(t, bare, role)); err != nil {
		t.Error(err)
	}
	other := packtest.NewRole(t, admin)
	packtest.ExpectRefusal(t, schema.Down(t.Context(), packtest.As(bare, other), migrations.Files, packtest.Log(t)), "role "+other, "schema relpack")
}

func connectAs(t *testing.T, target target.Target, role string) *pgx.Conn {
	t.Helper()
	conn, err := session.Open(t.Context(), packtest.As(target, role), "test", packtest.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close(conn) })
	return conn
}

func TestAnotherVersionOfTheSchemaIsNamedWithTheRemedy(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	check := func() error { return schema.CheckInstalled(t.Context(), conn, target, migrations.Files) }
	if err := check(); err != nil {
		t.Fatal(err)
	}
	latest, err := schema.LatestMigration(migrations.Files)
	if err != nil {
		t.Fatal(err)
	}
	packtest.Run(t, conn, "DELETE FROM relpack.goose_db_version WHERE version_id = $1", latest)
	packtest.ExpectRefusal(t, check(), `"relpack migrate up"`)
	packtest.Run(t, conn, "INSERT INTO relpack.goose_db_version (version_id, is_applied) VALUES ($1, true), ($2, true)", latest, latest+7)
	packtest.Run(t, conn, "INSERT INTO relpack.run (version) VALUES ('9.8.7')")
	for name, err := range map[string]error{
		"check": check(),
		"up":    schema.Up(t.Context(), target, migrations.Files, packtest.Log(t)),
		"down":  schema.Down(t.Context(), target, migrations.Files, packtest.Log(t)),
	} {
		t.Run(name, func(t *testing.T) {
			packtest.ExpectRefusal(t, err, "older than the schema", "relpack >= 9.8.7")
		})
	}
	_, conn = packtest.NewBareStorage(t)
	packtest.ExpectRefusal(t, schema.CheckInstalled(t.Context(), conn, target, migrations.Files), "not installed", conn.Config().Database, `"relpack migrate up"`)
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
