package why_test

import (
	"strings"
	"testing"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/look"
	"relpack/runner/target"
)

// newLooker is a role that has what relpack.missing_privilege() says of one that looks.
func (s storage) newLooker(t *testing.T) (dsn, role string) {
	t.Helper()
	role = packtest.NewRole(t, s.conn)
	for _, remedy := range packtest.Lines(t, s.conn, "SELECT DISTINCT remedy FROM relpack.missing_privilege('"+role+"', only_look => true)") {
		packtest.Run(t, s.conn, remedy)
	}
	return packtest.As(target.Target{DSN: s.dsn}, role).DSN, role
}

func TestARoleThatLooksMayAsk(t *testing.T) {
	t.Parallel()
	s := newStorage(t, garden())
	if strings.Contains(s.dsn, "://") {
		t.Skip("keywords can't be added to a URI")
	}
	dsn, role := s.newLooker(t)
	packtest.CommitRecords(t, s.conn, map[int64][]byte{20: record(10)})
	looker := storage{dsn: dsn + " options='-c default_transaction_read_only=on'", conn: s.conn}
	a := looker.ask(t, 3, 2, 10)
	if a[0].Without == nil || a[0].Without.Verdict != look.Alive || a[1].Garbage == nil || a[1].Garbage.With.Objects != 2 {
		t.Errorf("%+v", a)
	}
	packtest.Run(t, s.conn, "REVOKE EXECUTE ON FUNCTION relpack.unapplied() FROM "+role)
	_, err := looker.try(t, 0, 2)
	if fault.ExitCode(err) != fault.ExitRefused || !strings.Contains(fault.Message(err), "relpack.missing_privilege") {
		t.Error(err)
	}
}
