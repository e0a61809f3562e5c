package commandtest

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"relpack/runner/internal/pgtest"
)

func readme(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// variable is what another machine, database or moment prints otherwise.
var variable = regexp.MustCompile(`\d\d:\d\d:\d\d|database \w+|about [\d,]+ objects|[\d.]+ [KM]iB|version \d+`)

var free = regexp.MustCompile(`; free: [^\n]*`) // where the server is on this machine

func plain(text string) string {
	text = free.ReplaceAllString(text, "")
	lines := strings.Split(strings.TrimSpace(variable.ReplaceAllString(text, "X")), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// In its first transcript the README shows what a new reader will see.
func TestTheReadmesTranscriptIsWhatRelpackPrints(t *testing.T) {
	t.Parallel()
	programs, err := pgtest.Find(t.Context())
	if err != nil {
		t.Skip(err)
	}
	psql, err := pgtest.Psql(programs)
	if err != nil {
		t.Skip(err)
	}
	_, transcript, _ := strings.Cut(readme(t), "```console\n")
	transcript, _, _ = strings.Cut(transcript, "```")
	db := pgtest.NewDatabase(t)
	config := configuration(t, inDatabase, map[string]string{"site": db.DSN}, "site")
	commands := 0
	for block := range strings.SplitSeq(transcript, "\n\n") {
		command, want, _ := strings.Cut(block, "\n")
		var got string
		if args, ok := strings.CutPrefix(command, "$ relpack "); ok {
			r := relpack(t, strings.Fields(strings.Replace(args, "site.conf", config, 1))...)
			got = r.stderr + r.stdout
		} else {
			var query string
			query, want, _ = strings.Cut(strings.TrimPrefix(want, "site=> "), "\n")
			out, err := exec.CommandContext(t.Context(), psql, "--no-psqlrc", "-c", query, db.DSN).CombinedOutput()
			if err != nil {
				t.Error(err)
			}
			got = string(out)
		}
		commands++
		for shown := range strings.SplitSeq(plain(want), "\n...\n") {
			if !strings.Contains(plain(got), shown) {
				t.Errorf("%s\n--- README has\n%s\n--- it prints\n%s", command, shown, plain(got))
			}
		}
	}
	if commands != 3 {
		t.Errorf("%d commands in the transcript", commands)
	}
}

func TestTheReadmesOptionsAreOptionsOfRelpack(t *testing.T) {
	t.Parallel()
	var help string
	for _, command := range []string{"pack", "verify", "status", "why", "check", "du", "blobs", "report", "migrate up", "migrate down"} {
		help += relpack(t, append(strings.Fields(command), "--help")...).stdout
	}
	options := regexp.MustCompile(`--[a-z][a-z-]*`)
	known := map[string]bool{}
	for _, option := range options.FindAllString(help, -1) {
		known[option] = true
	}
	for _, option := range options.FindAllString(readme(t), -1) {
		if !known[option] {
			t.Errorf("relpack has no option %s", option)
		}
	}
}
