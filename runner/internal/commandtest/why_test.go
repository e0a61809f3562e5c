package commandtest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"relpack/runner/check"
	"relpack/runner/du"
	"relpack/runner/fault"
	"relpack/runner/internal/pgtest"
	"relpack/runner/look"
	"relpack/runner/why"
)

func TestWhyCheckAndDuAnswerForEachStorageOfAFile(t *testing.T) {
	t.Parallel()
	db, bare := pgtest.NewDatabase(t), pgtest.NewDatabase(t)
	if strings.Contains(db.DSN, "://") {
		t.Skip("keywords can't be added to a URI")
	}
	relpack(t, "migrate", "up", "-q", "--dsn", db.DSN).expect(t, 0)
	relpack(t, "why", "7", "--dsn", db.DSN).expect(t, fault.ExitFailure, "the graph is not built yet", "relpack pack --dry-run")
	relpack(t, "pack", "-q", "--dry-run", "--days", "-1", "--dsn", db.DSN).expect(t, 0)
	config := configuration(t, "", map[string]string{"bare": bare.DSN, "good": db.DSN, "again": db.DSN}, "bare", "good", "again")
	relpack(t, "why", config, "0x1228").expect(t, fault.ExitRefused, "relpack: bare: relpack is not installed", "good", "again", "._blob")
	r := relpack(t, "why", `b'\x00\x00\x00\x00\x00\x00\x12('`, config, "1982", "--json")
	r.expect(t, fault.ExitRefused, "not installed")
	var answers []why.Report
	if err := json.Unmarshal([]byte(r.stdout), &answers); err != nil || len(answers) != 3 || answers[0].ExitCode != fault.ExitRefused ||
		len(answers[1].Objects) != 2 || answers[1].Objects[0].Verdict != look.Alive || answers[2].Objects[1].Verdict != look.Unreachable {
		t.Errorf("%v: %s", err, r.stdout)
	}
	r = relpack(t, "check", config, "--json")
	r.expect(t, fault.ExitRefused, "not installed")
	var found []check.Report
	if err := json.Unmarshal([]byte(r.stdout), &found); err != nil || len(found) != 3 || found[1].Outcome != "sound" || found[0].Outcome != "refused" {
		t.Errorf("%v: %s", err, r.stdout)
	}
	relpack(t, "check", "-q", "--dsn", db.DSN).expect(t, 0)
	r = relpack(t, "du", config, "0xfab", "--json", "--depth", "1")
	r.expect(t, fault.ExitRefused, "not installed")
	var sizes []du.Report
	if err := json.Unmarshal([]byte(r.stdout), &sizes); err != nil || len(sizes) != 3 || sizes[0].Top != nil ||
		sizes[1].Top.Zoid != 4011 || sizes[2].Top.Objects != sizes[1].Top.Objects {
		t.Errorf("%v: %s", err, r.stdout)
	}
	relpack(t, "du", "--dsn", db.DSN, "--by-class", "--sort", "objects").expect(t, 0, "on disk", "root  (zoid 0", "BTrees.OOBTree.OOBTree", "more classes")
	relpack(t, "du", "--dsn", db.DSN, "1982").expect(t, fault.ExitFailure, "zoid 1982 is not among the live objects", "relpack why 1982")
	relpack(t, "du", "1", "2").expect(t, fault.ExitUsage, "one object at a time")
	relpack(t, "du", "--max", "0").expect(t, fault.ExitUsage, "--max")
	conn := db.Connect(t)
	if _, err := conn.Exec(t.Context(), "DELETE FROM object_state WHERE zoid = 4648"); err != nil {
		t.Fatal(err)
	}
	relpack(t, "check", "-q", "--dsn", db.DSN).expect(t, fault.ExitRefused, "1 object is not stored")
	relpack(t, "check", "--dsn", db.DSN).expect(t, fault.ExitRefused, "zoid 4648 (0x1228)", ".file._blob")
}

func TestReportSaysOfHowManyStoragesThePageIs(t *testing.T) {
	t.Parallel()
	db, bare := pgtest.NewDatabase(t), pgtest.NewDatabase(t)
	if strings.Contains(db.DSN, "://") {
		t.Skip("keywords can't be added to a URI")
	}
	relpack(t, "migrate", "up", "-q", "--dsn", db.DSN).expect(t, 0)
	relpack(t, "pack", "-q", "--dry-run", "--dsn", db.DSN).expect(t, 0)
	config := configuration(t, "", map[string]string{"bare": bare.DSN, "good": db.DSN}, "bare", "good")
	page := t.TempDir() + "/page.html"
	relpack(t, "report", config, "-q", "--html", page).expect(t, fault.ExitRefused, "bare: relpack is not installed", "relpack: wrote "+page+": 1 of 2 storages\n")
	relpack(t, "report", "--dsn", db.DSN, "--html", page).expect(t, 0, "relpack: wrote "+page+": 1 of 1 storage\n")
	if r := relpack(t, "report", "-q", "--dsn", db.DSN, "--html", page); r.code != 0 || r.stdout+r.stderr != "" {
		t.Errorf("%+v", r)
	}
	if r := relpack(t, "report", "--dsn", db.DSN, "--html", "-"); strings.Contains(r.stderr, "wrote") {
		t.Error(r.stderr)
	}
}

// What a page would replace is looked at before a database is.
func TestReportReplacesNothingButFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, what := range map[string]string{dir: "a directory", pipe: "no regular file"} {
		r := relpack(t, "report", "--dsn", "host=/nowhere", "--html", path)
		r.expect(t, fault.ExitUsage)
		if r.stderr != "relpack: report: --html takes a file: "+path+" is "+what+" (see \"relpack --help\")\n" {
			t.Error(r.stderr)
		}
	}
	if info, err := os.Lstat(pipe); err != nil || info.Mode().Type() != os.ModeNamedPipe {
		t.Errorf("the pipe is %v now: %v", info, err)
	}
}
