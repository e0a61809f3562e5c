package runner

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// A house is a storage whose tables and relpack belong to a role that is no
// superuser, as on a real site.
type house struct {
	target target.Target
	admin  *pgx.Conn // a superuser
	owner  string
	app    string // has the table privileges only
}

// newHouse is an empty storage of RelStorage 4.2, migrated by its owner.
func newHouse(t *testing.T) house {
	t.Helper()
	target, admin := newEmptyDatabase(t)
	h := house{target: target, admin: admin, owner: newRole(t, admin), app: newRole(t, admin)}
	run(t, admin, "GRANT CREATE ON DATABASE "+admin.Config().Database+" TO "+h.owner+
		"; GRANT CREATE ON SCHEMA public TO "+h.owner)
	if err := zodbtest.CreateStorage(t.Context(), h.as(t, h.owner), zodbtest.V42); err != nil {
		t.Fatal(err)
	}
	up(t, as(target, h.owner))
	run(t, admin, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "+h.app+
		"; GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO "+h.app)
	return h
}

// as opens a session that has this role's rights.
func (h house) as(t *testing.T, role string) *pgx.Conn {
	t.Helper()
	return sessionOn(t, as(h.target, role))
}

// newPacker is a role with what the refusal of a pack says that it needs.
func (h house) newPacker(t *testing.T) string {
	t.Helper()
	role := newRole(t, h.admin)
	run(t, h.admin, "GRANT USAGE ON SCHEMA relpack TO "+role+"; GRANT SELECT ON relpack.goose_db_version TO "+role)
	_, err := pack.Run(t.Context(), as(h.target, role), everything, testLog(t))
	expectRefusal(t, err, "role "+role+" may not pack", "SELECT on public.blob_chunk, DELETE on public.object_state", "more")
	_, grants, _ := strings.Cut(fault.Message(err), "Let the owner run: ")
	run(t, h.as(t, h.owner), grants)
	return role
}

// denied wants each of these statements to fail for lack of a privilege.
func denied(t *testing.T, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		_, err := conn.Exec(t.Context(), statement)
		if !fault.IsState(err, "42501") { // insufficient_privilege
			t.Errorf("%s: %v, want that permission is denied", statement, err)
		}
	}
}
