package commandtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/program"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
)

// built is the command under test, built once.
var built string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "relpack-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		built = filepath.Join(dir, "relpack")
		if err := program.Build(built); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return pgtest.Main(m, func(ctx context.Context, conn *pgx.Conn) error {
			if err := zodbtest.CreateStorage(ctx, conn, zodbtest.V42); err != nil {
				return err
			}
			return zodbtest.LoadSmall(ctx, conn, "")
		})
	}())
}

// A result is what a command printed, and its exit code.
type result struct {
	stdout, stderr string
	code           int
}

func relpack(t testing.TB, args ...string) result {
	t.Helper()
	return finish(t, start(t, args...))
}

func start(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	command := exec.CommandContext(t.Context(), built, args...)
	command.Stdout, command.Stderr = &strings.Builder{}, &strings.Builder{}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	return command
}

func finish(t testing.TB, command *exec.Cmd) result {
	t.Helper()
	var exit *exec.ExitError
	if err := command.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	r := result{fmt.Sprint(command.Stdout), fmt.Sprint(command.Stderr), command.ProcessState.ExitCode()}
	if t.Failed() || testing.Verbose() {
		t.Logf("%v: %d\n%s%s", command.Args[1:], r.code, r.stdout, r.stderr)
	}
	return r
}

// expect wants an exit code and words, from both outputs.
func (r result) expect(t testing.TB, code int, words ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d:\n%s%s", r.code, code, r.stdout, r.stderr)
	}
	for _, word := range words {
		if !strings.Contains(r.stdout+r.stderr, word) {
			t.Errorf("no %q in\n%s%s", word, r.stdout, r.stderr)
		}
	}
}

func TestUsageErrorsAreOneLineAndExitWith2(t *testing.T) {
	t.Parallel()
	for args, says := range map[string]string{
		"pack --nope":                       "--nope",
		"pack --days many":                  `--days takes a number of days, not "many"`,
		"pack --days":                       "relpack: --days takes a number of days: --days 1 (see",
		"blobs --days":                      "relpack: --days takes a number of days: --days 1 (see",
		"pack --accept-missing":             "--accept-missing takes the id of an object as a number: --accept-missing 6699",
		"du --max":                          "relpack: --max takes a number (see",
		"du --max x":                        `relpack: --max takes a number, not "x" (see`,
		"pack a.conf a.conf":                "relpack: unexpected argument a.conf: one file is expected, with all storages in it (see",
		"migrate up a.conf b.conf":          "relpack: unexpected argument b.conf: one file is expected",
		"pack --days nan":                   "relpack: --days takes a number of days",
		"pack --days -inf":                  "--days",
		"pack --days 1e300":                 "--days",
		"pack --use-prepack-state":          "keeps the graph",
		"pack --check-refs-only":            "relpack pack --dry-run",
		"report":                            "name a file: --html FILE",
		"report --html x --depth 0":         "--depth and --max",
		"why":                               "which object?",
		"why some.conf":                     "which object?",
		"why some.conf -- -1":               `relpack: "-1" is no object id (see`,
		"du -1":                             `relpack: "-1" is no object id (see`,
		"pack --dry-run --dsn":              "--dsn takes a value",
		"pack --dsn=":                       "--dsn takes a value",
		"why some.conf --json 4":            "unexpected argument 4: put it beside the other names and ids",
		"why some.conf 0x12 other.conf":     `"other.conf" is no object id`,
		"why 7 --without 0":                 "because of the root",
		"why 7 --without 4 --without 5":     "why: --without takes one object: ask for each by itself",
		"why 7 --without 4 --without":       "--without takes the id of an object: --without 6699",
		"why 7 --without":                   "--without takes the id of an object: --without 6699",
		"why 9223372036854775808":           "which object?",
		"check --max 0":                     "--max takes a number from 1 on",
		"blobs --max 0":                     "--max takes a number from 1 on",
		"migrate":                           "expected one of",
		"migrate sideways":                  "sideways",
		"pack some.conf --dsn dbname=other": "--dsn and --blob-dir are for use without",
	} {
		r := relpack(t, strings.Fields(args)...)
		r.expect(t, fault.ExitUsage, says)
		if strings.Count(r.stderr, "\n") != 1 || !strings.HasPrefix(r.stderr, "relpack: ") || r.stdout != "" {
			t.Errorf("%q prints %q and %q", args, r.stdout, r.stderr)
		}
	}
}

func TestHelpListsTheExitCodes(t *testing.T) {
	t.Parallel()
	relpack(t).expect(t, 0, "Find and delete unreachable objects, and old revisions")
	relpack(t, "pack", "--help").expect(t, 0, "old revisions of a", "revisions that were")
	relpack(t, "--help").expect(t, 0, "0 done", "1 failure", "2 usage", "3 locked", "4 refused", "130 interrupted")
	relpack(t, "pack", "--help").expect(t, 0, "--days", "--dry-run", "--blob-dir")
	relpack(t, "--version").expect(t, 0, "relpack v9.9.9", "go1.")
}

func TestADatabaseIsInstalledPackedAndCleaned(t *testing.T) {
	t.Parallel()
	db := pgtest.NewDatabase(t)
	relpack(t, "status", "--dsn", db.DSN).expect(t, 0, "not installed")
	relpack(t, "pack", "--dsn", db.DSN).expect(t, fault.ExitRefused, "relpack: relpack is not installed", "relpack migrate up")
	relpack(t, "migrate", "version", "--dsn", db.DSN).expect(t, 0, "not installed")
	relpack(t, "migrate", "up", "--dsn", db.DSN).expect(t, 0, "has version")
	relpack(t, "migrate", "status", "--dsn", db.DSN).expect(t, 0, "00001", "applied 20")
	relpack(t, "pack", "--dry-run", "--days", "-1", "--dsn", db.DSN).expect(t, 0, "would delete")
	r := relpack(t, "pack", "--days", "-1", "--json", "--dsn", db.DSN)
	r.expect(t, 0)
	var reports []pack.Report
	if err := json.Unmarshal([]byte(r.stdout), &reports); err != nil || len(reports) != 1 || reports[0].Deleted.Objects != 744 {
		t.Errorf("%v: %s", err, r.stdout)
	}
	relpack(t, "status", "--dsn", db.DSN).expect(t, 0, "describes the storage", "deleted 744 objects")
	relpack(t, "verify", "--dsn", db.DSN).expect(t, 0, "4,049 objects", "sound")
	if r = relpack(t, "pack", "-q", "--days", "-1", "--dsn", db.DSN); r != (result{}) {
		t.Errorf("a quiet pack says %+v", r)
	}
	relpack(t, "pack", "-v", "--days=-1", "--dsn", db.DSN).expect(t, 0, "peak memory", "SELECT relpack.")
	relpack(t, "migrate", "down", "--dsn", db.DSN).expect(t, 0, "removed")
}

// inDatabase is the key by which relpack knows that there are no blob files.
const inDatabase = "shared-blob-dir false"

// configuration writes a file with one storage a DSN.
func configuration(t *testing.T, keys string, dsns map[string]string, order ...string) string {
	t.Helper()
	var text strings.Builder
	for _, name := range order {
		fmt.Fprintf(&text, "<relstorage %s>\nkeep-history false\n%s\n<postgresql>\ndsn %s\n</postgresql>\n</relstorage>\n",
			name, keys, dsns[name])
	}
	file := filepath.Join(t.TempDir(), "zodb.conf")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestOneStoragesFailureDoesNotStopTheOthersAndNoPasswordIsShown(t *testing.T) {
	t.Parallel()
	db, other := pgtest.NewDatabase(t), pgtest.NewDatabase(t)
	if strings.Contains(db.DSN, "://") {
		t.Skip("keywords can't be added to a URI")
	}
	config := configuration(t, inDatabase, map[string]string{
		"lost":  "host='/nonexistent' password='geheim' dbname='x' connect_timeout=2",
		"good":  db.DSN + " password='geheim'",
		"again": other.DSN + " password='geheim'",
	}, "lost", "good", "again")
	relpack(t, "migrate", "up", config).expect(t, fault.ExitFailure, "relpack: lost: ", "good: ", "again: ")
	r := relpack(t, "pack", config, "--days", "-1", "--json", "-v")
	r.expect(t, fault.ExitFailure, "relpack: lost: can't connect")
	var reports []pack.Report
	// What the lost one refers to in the others is unknown.
	if err := json.Unmarshal([]byte(r.stdout), &reports); err != nil || len(reports) != 3 ||
		reports[1].ExitCode != fault.ExitRefused || !strings.Contains(reports[1].Error, "lost (never read)") {
		t.Errorf("%v: %s", err, r.stdout)
	}
	conn := db.Connect(t)
	for _, c := range []*pgx.Conn{conn, other.Connect(t)} {
		if _, err := c.Exec(t.Context(), "UPDATE relpack.referred_by SET looked = 'infinity' WHERE holder = 'lost'"); err != nil {
			t.Fatal(err)
		}
	}
	// The grace begins with the answer: the others have to be looked at once more.
	relpack(t, "pack", config, "--days", "-1", "--json", "-v").expect(t, fault.ExitFailure, "relpack: lost: can't connect")
	r = relpack(t, "pack", config, "--days", "-1", "--json", "-v")
	r.expect(t, fault.ExitFailure, "relpack: lost: can't connect")
	reports = nil
	if err := json.Unmarshal([]byte(r.stdout), &reports); err != nil || len(reports) != 3 ||
		reports[0].ExitCode != fault.ExitFailure || reports[0].Error == "" || reports[1].ExitCode != fault.ExitDone || reports[2].Storage != "again" {
		t.Errorf("%v: %s", err, r.stdout)
	}
	var stored int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM object_state").Scan(&stored); err != nil || stored != 4793-744 {
		t.Errorf("%d objects are stored, %v", stored, err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"pack"}, {"status"}, {"status", "--json"}, {"migrate", "status"}, {"migrate", "version"}, {"migrate", "down"}} {
		r := relpack(t, append(args, "-v", config)...)
		r.expect(t, fault.ExitFailure, "relpack: lost: ")
		if strings.Contains(r.stdout+r.stderr, "geheim") {
			t.Errorf("%v shows the password: %+v", args, r)
		}
	}
}

func TestAMissingObjectIsGivenUpInOneStorageOnly(t *testing.T) {
	t.Parallel()
	config := configuration(t, inDatabase, map[string]string{"one": "host='/nonexistent'", "two": "host='/nonexistent'"}, "one", "two")
	relpack(t, "pack", "--accept-missing", "5", config).expect(t, fault.ExitUsage, "names 2 storages")
}

func TestAConfigurationThatForbidsPackingIsRefused(t *testing.T) {
	t.Parallel()
	db := pgtest.NewDatabase(t)
	config := configuration(t, inDatabase+"\nread-only true", map[string]string{"a": db.DSN}, "a")
	relpack(t, "migrate", "up", config).expect(t, fault.ExitRefused, "relpack: a: ", "read-only")
	relpack(t, "pack", config).expect(t, fault.ExitRefused, "read-only")
	relpack(t, "status", config).expect(t, 0, "not installed", "read-only")
	relpack(t, "pack", "/nonexistent.conf").expect(t, fault.ExitFailure, "/nonexistent.conf")
}

func TestASignalInterruptsAMigrationThatWaits(t *testing.T) {
	t.Parallel()
	db := pgtest.NewDatabase(t)
	conn := db.Connect(t)
	if _, err := conn.Exec(t.Context(), "BEGIN; DELETE FROM object_state WHERE zoid = 1"); err != nil {
		t.Fatal(err)
	}
	command := start(t, "migrate", "up", "--dsn", db.DSN)
	awaitLock(t, db)
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	finish(t, command).expect(t, fault.ExitInterrupted, "relpack: interrupted")
	relpack(t, "migrate", "version", "--dsn", db.DSN).expect(t, 0, "not installed")
}

func TestASignalLeavesThePageOfAnEarlierReport(t *testing.T) {
	t.Parallel()
	db := pgtest.NewDatabase(t)
	relpack(t, "migrate", "up", "--dsn", db.DSN).expect(t, 0)
	page := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(page, []byte("earlier"), 0o600); err != nil {
		t.Fatal(err)
	}
	conn := db.Connect(t)
	if _, err := conn.Exec(t.Context(), "BEGIN; LOCK TABLE relpack.storage"); err != nil {
		t.Fatal(err)
	}
	command := start(t, "report", "--html", page, "--dsn", db.DSN)
	awaitLock(t, db)
	if err := command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	finish(t, command).expect(t, fault.ExitInterrupted, "relpack: interrupted: nothing was written")
	if left, err := os.ReadFile(page); err != nil || string(left) != "earlier" {
		t.Errorf("the page is %.20q now: %v", left, err)
	}
}

// waitingPack waits for a lock that the session holds, without a limit of time.
func waitingPack(t *testing.T) (*exec.Cmd, *pgx.Conn) {
	t.Helper()
	db := pgtest.NewDatabase(t)
	relpack(t, "migrate", "up", "--dsn", db.DSN).expect(t, 0)
	conn := db.Connect(t)
	if _, err := conn.Exec(t.Context(), "BEGIN; LOCK TABLE relpack.run"); err != nil {
		t.Fatal(err)
	}
	command := start(t, "pack", "--dsn", db.DSN)
	awaitLock(t, db)
	return command, conn
}

func TestASecondSignalEndsAPackAtOnce(t *testing.T) {
	t.Parallel()
	command, _ := waitingPack(t)
	ended := make(chan result, 1)
	go func() { ended <- finish(t, command) }()
	// Two signals at once are one; on a machine that stalls, two in a second too.
	for signals := 0; ; signals++ {
		select {
		case r := <-ended:
			r.expect(t, fault.ExitInterrupted, "a second signal", "relpack: interrupted. Finished work is kept")
			if signals < 2 {
				t.Errorf("it ended after %d signals", signals)
			}
			return
		case <-time.After(300 * time.Millisecond):
			if signals == 100 {
				t.Fatal("it goes on")
			}
			_ = command.Process.Signal(os.Interrupt) // it may have ended
		}
	}
}

// timeout(1) sends its signal to the command, and then to its group.
func TestASignalThatIsSentTwiceStopsAPackBetweenTwoBatches(t *testing.T) {
	t.Parallel()
	command, conn := waitingPack(t)
	for range 2 {
		if err := command.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	time.Sleep(200 * time.Millisecond)
	if _, err := conn.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	finish(t, command).expect(t, fault.ExitInterrupted, "relpack: interrupted. Finished work is kept")
	var outcome string
	if err := conn.QueryRow(t.Context(), "SELECT coalesce(max(outcome), '') FROM relpack.run").Scan(&outcome); err != nil || outcome != "interrupted" {
		t.Errorf("the run is noted as %q, %v", outcome, err)
	}
}

// awaitLock returns when relpack waits for a lock on a table.
func awaitLock(t *testing.T, db *pgtest.Database) {
	t.Helper()
	conn := db.Connect(t)
	for begin := time.Now(); time.Since(begin) < time.Minute; time.Sleep(10 * time.Millisecond) {
		var waits bool
		if err := conn.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
			WHERE NOT granted AND application_name LIKE 'relpack %' AND datname = current_database())`).Scan(&waits); err != nil {
			t.Fatal(err)
		}
		if waits {
			return
		}
	}
	t.Fatal("relpack waits for no lock")
}
