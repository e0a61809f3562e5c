package why_test

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/look"
)

// newLooker is a role that has what relpack.missing_privilege() says of one that looks.
func (s storage) newLooker(t *testing.T) (dsn string) {
	t.Helper()
	role := "looker_" + strings.ToLower(regexp.MustCompile(`\W`).ReplaceAllString(s.conn.Config().Database, "_"))
	s.run(t, "CREATE ROLE "+role+" LOGIN PASSWORD 'looks'")
	t.Cleanup(func() {
		ctx := context.Background() // the test's has ended
		conn, err := pgx.Connect(ctx, s.dsn)
		if err == nil {
			_, _ = conn.Exec(ctx, "DROP OWNED BY "+role+"; DROP ROLE "+role)
			_ = conn.Close(ctx)
		}
	})
	s.run(t, `DO $$
		DECLARE grants text;
		BEGIN
			FOR grants IN SELECT DISTINCT remedy FROM relpack.missing_privilege('`+role+`', only_look => true) LOOP
				EXECUTE grants;
			END LOOP;
		END $$`)
	return s.dsn + " user=" + role + " password=looks"
}

func TestARoleThatLooksMayAsk(t *testing.T) {
	t.Parallel()
	s := newStorage(t, garden())
	if strings.Contains(s.dsn, "://") {
		t.Skip("keywords can't be added to a URI")
	}
	dsn := s.newLooker(t)
	s.commit(t, map[int64][]byte{20: record(10)})
	looker := storage{dsn: dsn + " options='-c default_transaction_read_only=on'", conn: s.conn}
	a := looker.ask(t, 3, 2, 10)
	if a[0].Without == nil || a[0].Without.Verdict != look.Alive || a[1].Garbage == nil || a[1].Garbage.With.Objects != 2 {
		t.Errorf("%+v", a)
	}
	s.run(t, "REVOKE EXECUTE ON FUNCTION relpack.unapplied() FROM "+regexp.MustCompile(`user=(looker\S*)`).FindStringSubmatch(dsn)[1])
	_, err := looker.try(t, 0, 2)
	if fault.ExitCode(err) != fault.ExitRefused || !strings.Contains(fault.Message(err), "relpack.missing_privilege") {
		t.Error(err)
	}
}
