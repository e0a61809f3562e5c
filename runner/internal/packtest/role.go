package packtest

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/session"
	"relpack/runner/target"
)

// As is the target with another role, which begins the session, and more
// settings: one that a superuser takes with SET ROLE is still his.
func As(t target.Target, role string, settings ...string) target.Target {
	t = Set(Set(t, "user", role), "password", role)
	if len(settings) > 0 {
		t = Set(t, "options", "-c "+strings.Join(settings, " -c "))
	}
	return t
}

// NewRole makes a role that may connect and nothing else.
func NewRole(t *testing.T, admin *pgx.Conn) string {
	t.Helper()
	role := Get[string](t, admin, "SELECT 'role_' || md5(random()::text)")
	Run(t, admin, "CREATE ROLE "+role+" LOGIN PASSWORD '"+role+"'")
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

// A House is a storage whose tables and relpack belong to a role that is no
// superuser, as on a real site.
type House struct {
	Target target.Target
	Admin  *pgx.Conn // a superuser
	Owner  string
	App    string // has the table privileges only
}

// NewHouse is an empty storage of RelStorage 4.2, migrated by its owner.
func NewHouse(t *testing.T) House {
	t.Helper()
	target, admin := NewEmptyDatabase(t)
	h := House{Target: target, Admin: admin, Owner: NewRole(t, admin), App: NewRole(t, admin)}
	Run(t, admin, "GRANT CREATE ON DATABASE "+admin.Config().Database+" TO "+h.Owner+
		"; GRANT CREATE ON SCHEMA public TO "+h.Owner)
	if err := zodbtest.CreateStorage(t.Context(), h.As(t, h.Owner), zodbtest.V42); err != nil {
		t.Fatal(err)
	}
	MigrateUp(t, As(target, h.Owner))
	Run(t, admin, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "+h.App+
		"; GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO "+h.App)
	return h
}

// As opens a session that has this role's rights.
func (h House) As(t *testing.T, role string) *pgx.Conn {
	t.Helper()
	return Session(t, As(h.Target, role))
}

// NewPacker is a role with what the refusal of a pack says that it needs.
func (h House) NewPacker(t *testing.T) string {
	t.Helper()
	role := NewRole(t, h.Admin)
	Run(t, h.Admin, "GRANT USAGE ON SCHEMA relpack TO "+role+"; GRANT SELECT ON relpack.goose_db_version TO "+role)
	_, err := pack.Run(t.Context(), As(h.Target, role), Everything, Log(t))
	ExpectRefusal(t, err, "role "+role+" may not pack", "SELECT on public.blob_chunk, DELETE on public.object_state", "more")
	_, grants, _ := strings.Cut(fault.Message(err), "Let the owner run: ")
	Run(t, h.As(t, h.Owner), grants)
	return role
}
