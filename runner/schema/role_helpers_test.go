package schema_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
)

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
