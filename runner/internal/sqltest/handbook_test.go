package sqltest

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/schema"
	"relpack/runner/target"
)

const handbookFile = "../../../sql/README.md"

var updateHandbook = flag.Bool("update", false, "rewrite the transcripts in "+handbookFile)

// Every transcript of the handbook is what psql prints: its statements are
// executed against the sample database in the order of the text, those of a
// block in one session. In the text, comments that a reader doesn't see drive
// what the site does meanwhile (see meanwhile).
func TestTheHandbooksTranscriptsAreWhatPsqlPrints(t *testing.T) {
	t.Parallel()
	programs, err := pgtest.Find(t.Context())
	if err != nil {
		cannotTest(t, err)
	}
	psql, err := pgtest.Psql(programs)
	if err != nil {
		cannotTest(t, err)
	}
	text, err := os.ReadFile(handbookFile)
	if err != nil {
		t.Fatal(err)
	}
	h := newHandbook(t, psql)
	parts := parseHandbook(string(text))
	for i, part := range parts {
		switch {
		case part.directive != "":
			h.meanwhile(part.directive)
		case part.steps != nil:
			got := h.play(part.steps)
			if normal(got) != normal(part.text) {
				parts[i].text = got
				if !*updateHandbook {
					t.Errorf("%s, line %d (go test ./runner -run Handbook -update rewrites it):\n--- the text has\n%s--- psql prints\n%s",
						handbookFile, part.line, part.text, got)
				}
			}
		}
	}
	if *updateHandbook {
		var rewritten strings.Builder
		for _, part := range parts {
			rewritten.WriteString(part.text)
		}
		if err := os.WriteFile(handbookFile, []byte(rewritten.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// cannotTest skips what somebody else's server, or the machine beside it, does
// not let us do. Our own has all that a test needs, or the test has failed.
func cannotTest(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("RELPACK_TEST_DSN") != "" && os.Getenv("RELPACK_PGBIN") == "" {
		t.Skip(err)
	}
	t.Fatal(err)
}

// handbook is the database that the handbook speaks of.
type handbook struct {
	t      testing.TB
	target target.Target
	psql   string
	conn   *pgx.Conn // the other session
}

// handbookOwner owns the database: what the handbook shows needs no superuser.
const handbookOwner = "zodb"

func newHandbook(t testing.TB, psql string) *handbook {
	t.Helper()
	target, super := packtest.NewEmptyDatabase(t)
	packtest.Run(t, super, fmt.Sprintf(`
		DO $$ BEGIN
			CREATE ROLE %[1]s;
		EXCEPTION WHEN duplicate_object THEN NULL;
		END $$;
		ALTER ROLE %[1]s LOGIN PASSWORD '%[1]s';
		ALTER SCHEMA public OWNER TO %[1]s;
		DROP ROLE IF EXISTS dashboard, packer;
		CREATE ROLE dashboard;
		CREATE ROLE packer;
		GRANT dashboard, packer TO %[1]s`, handbookOwner))
	config := super.Config()
	packtest.Run(t, super, "ALTER DATABASE "+pgx.Identifier{config.Database}.Sanitize()+" OWNER TO "+handbookOwner)
	t.Cleanup(func() {
		// Roles outlive their database.
		_, err := super.Exec(context.Background(), "DROP OWNED BY dashboard, packer; DROP ROLE dashboard, packer")
		if err != nil {
			t.Error(err)
		}
	})
	target.DSN = fmt.Sprintf("host='%s' port=%d dbname=%s user=%[4]s password=%[4]s options='-c timezone=UTC'",
		config.Host, config.Port, config.Database, handbookOwner)
	conn, err := pgx.Connect(t.Context(), target.DSN)
	if err != nil {
		cannotTest(t, fmt.Errorf("the server doesn't let role %s in: %w", handbookOwner, err))
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) }) // it may be closed already
	if err := zodbtest.CreateStorage(t.Context(), conn, zodbtest.V42); err != nil {
		t.Fatal(err)
	}
	packtest.LoadSmall(t, conn, "")
	// A month earlier: beyond the grace on whatever day this runs.
	packtest.Run(t, conn, "UPDATE object_state SET tid = tid - (44640::bigint << 32)")
	packtest.Run(t, conn, "VACUUM (ANALYZE) object_state")
	if err := schema.Up(t.Context(), target, migrations.Files, packtest.Log(t)); err != nil {
		t.Fatal(fault.Message(err))
	}
	return &handbook{t: t, target: target, psql: psql, conn: conn}
}

// meanwhile does what a comment of the handbook says: the commits of a stage of
// the sample, or SQL in a session that stays open until the next one.
func (h *handbook) meanwhile(what string) {
	h.t.Helper()
	if what == zodbtest.Changes || what == zodbtest.MoreChanges {
		if err := zodbtest.ApplyChanges(h.t.Context(), h.conn, what); err != nil {
			h.t.Fatal(err)
		}
		return
	}
	packtest.Run(h.t, h.conn, what)
}

// play executes the steps of a block and returns the block as it then reads.
func (h *handbook) play(steps []step) string {
	h.t.Helper()
	var block []string
	for len(steps) > 0 {
		if command, ok := strings.CutPrefix(steps[0].shown, "$ "); ok {
			block = append(block, steps[0].shown+"\n")
			h.relpack(command)
			steps = steps[1:]
			continue
		}
		n := slices.IndexFunc(steps, func(s step) bool { return strings.HasPrefix(s.shown, "$ ") })
		if n < 0 {
			n = len(steps)
		}
		for i, output := range h.session(steps[:n]) {
			block = append(block, steps[i].shown+"\n"+output)
		}
		steps = steps[n:]
	}
	return strings.Join(block, "\n")
}

const mark = "== end of statement =="

// session executes statements in one session of psql; it returns what each of
// them prints, its errors last.
func (h *handbook) session(steps []step) []string {
	h.t.Helper()
	var input, out, warn strings.Builder
	// Where in the functions an error came from isn't for the handbook.
	input.WriteString("\\set SHOW_CONTEXT never\n")
	for _, s := range steps {
		fmt.Fprintf(&input, "%s\n\\echo %s\n\\warn %s\n", s.input, mark, mark)
	}
	cmd := exec.CommandContext(h.t.Context(), h.psql, "--no-psqlrc", "--pset=pager=off", h.target.DSN)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(entry string) bool {
		return strings.HasPrefix(entry, "PG") || strings.HasPrefix(entry, "LC_")
	}), "LC_ALL=C", "PGCLIENTENCODING=UTF8")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input.String()), &out, &warn
	if err := cmd.Run(); err != nil {
		h.t.Fatalf("psql: %v\n%s", err, warn.String())
	}
	printed, warned := strings.Split(out.String(), mark+"\n"), strings.Split(warn.String(), mark+"\n")
	if len(printed) != len(steps)+1 || len(warned) != len(steps)+1 {
		h.t.Fatalf("psql took %d statements for %d:\n%s%s", len(steps), len(printed)-1, input.String(), warn.String())
	}
	outputs := make([]string, len(steps))
	for i := range steps {
		if text := strings.TrimRight(printed[i], "\n") + "\n" + strings.TrimRight(warned[i], "\n"); strings.Trim(text, "\n") != "" {
			outputs[i] = strings.Trim(text, "\n") + "\n"
		}
	}
	return outputs
}

// relpack is the command: with --quiet, for what it prints isn't the handbook's.
func (h *handbook) relpack(command string) {
	h.t.Helper()
	o := packtest.Everything
	o.Days = 1
	switch command {
	case "relpack pack --quiet":
	case "relpack pack --quiet --dry-run":
		o.DryRun = true
	default:
		h.t.Fatalf("the test doesn't know how to run %q", command)
	}
	packtest.Pack(h.t, h.target, o)
}
