package why_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/look"
)

// newLooker is a role with the grants that the handbook has for one that looks.
func (s storage) newLooker(t *testing.T) (dsn string) {
	t.Helper()
	text, err := os.ReadFile("../../sql/README.md")
	if err != nil {
		t.Fatal(err)
	}
	role := "looker_" + strings.ToLower(regexp.MustCompile(`\W`).ReplaceAllString(s.conn.Config().Database, "_"))
	s.run(t, "CREATE ROLE "+role+" LOGIN PASSWORD 'looks'")
	t.Cleanup(func() {
		conn, err := pgx.Connect(t.Context(), s.dsn)
		if err == nil {
			_, _ = conn.Exec(t.Context(), "DROP OWNED BY "+role+"; DROP ROLE "+role)
		}
	})
	grants := regexp.MustCompile(`=> (GRANT [^;]* TO) dashboard;`).FindAllStringSubmatch(strings.ReplaceAll(string(text), "\nsite->", "\n"), -1)
	if len(grants) < 4 {
		t.Fatalf("only %d grants in the handbook", len(grants))
	}
	for _, grant := range grants {
		s.run(t, grant[1]+" "+role)
	}
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
	looker := storage{dsn + " options='-c default_transaction_read_only=on'", s.conn}
	a := looker.ask(t, 3, 2, 10)
	if a[0].Without == nil || a[0].Without.Verdict != look.Alive || a[1].Garbage == nil || a[1].Garbage.With.Objects != 2 {
		t.Errorf("%+v", a)
	}
	s.run(t, "REVOKE EXECUTE ON FUNCTION relpack.unapplied() FROM "+regexp.MustCompile(`user=(looker\S*)`).FindStringSubmatch(dsn)[1])
	_, err := looker.try(t, 0, 2)
	if fault.ExitCode(err) != fault.ExitRefused || !strings.Contains(fault.Message(err), "GRANT") {
		t.Error(err)
	}
}
