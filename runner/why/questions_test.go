package why_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/program"
	"relpack/runner/internal/zodbtest"
)

const questionsFile = "README.md"

var updateQuestions = flag.Bool("update", false, "rewrite the transcripts in "+questionsFile)

var (
	transcript = regexp.MustCompile("(?s)<!-- (?:meanwhile: ([^\n]*)|(blob directory)) -->|```console\n\\$ relpack ([^\n]*)\n(.*?)```")
	quoted     = regexp.MustCompile(`"[^"]*"|\S+`)
	ago        = regexp.MustCompile(`\([^()]* (ago|from now)\)`)
)

// Each transcript is what relpack prints. Comments that a reader doesn't see are SQL
// that somebody executes in between.
func TestTheQuestionsTranscriptsAreWhatRelpackPrints(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(questionsFile)
	if err != nil {
		t.Fatal(err)
	}
	s := newSample(t)
	if strings.Contains(s.dsn, "://") {
		t.Skip("the configuration is written for keywords")
	}
	config := filepath.Join(t.TempDir(), "site.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil,
		"<relstorage site>\nkeep-history false\n<postgresql>\ndsn %s\n</postgresql>\n</relstorage>\n", s.dsn), 0o600); err != nil {
		t.Fatal(err)
	}
	blobs := t.TempDir()
	count := 0
	rewritten := transcript.ReplaceAllStringFunc(string(text), func(block string) string {
		parts := transcript.FindStringSubmatch(block)
		switch {
		case parts[1] != "":
			packtest.Run(t, s.conn, parts[1])
			return block
		case parts[2] != "":
			addBlobDir(t, s, blobs, config)
			return block
		}
		count++
		var args []string
		for _, word := range quoted.FindAllString(parts[3], -1) {
			args = append(args, strings.Replace(strings.Trim(word, `"`), "site.conf", config, 1))
		}
		r := program.Run(t, args...)
		got := strings.ReplaceAll(r.Stdout+r.Stderr, blobs, "/srv/blobs")
		if plain(got) != plain(parts[4]) && !*updateQuestions {
			t.Errorf("$ relpack %s (go test ./runner/why -run Questions -update rewrites it)\n--- the text has\n%s\n--- it prints\n%s", parts[3], parts[4], got)
		}
		return fmt.Sprintf("```console\n$ relpack %s\n%s```", parts[3], trimmed(got))
	})
	if count < 4 {
		t.Errorf("only %d transcripts", count)
	}
	if *updateQuestions {
		if err := os.WriteFile(questionsFile, []byte(rewritten), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// addBlobDir gives the sample a blob directory with the file of each blob, an old
// revision of one, a temporary file, and what is left of an object that is gone.
func addBlobDir(t *testing.T, s storage, dir, config string) {
	t.Helper()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := zodbtest.NewBlobDir(dir, zodbtest.Bushy); err != nil {
		t.Fatal(err)
	}
	rows, err := s.conn.Query(t.Context(), "SELECT zoid, tid FROM relpack.object WHERE class = 1 ORDER BY zoid")
	if err != nil {
		t.Fatal(err)
	}
	type file struct{ Zoid, Tid int64 }
	files, err := pgx.CollectRows(rows, pgx.RowToStructByPos[file])
	if err != nil || len(files) == 0 {
		t.Fatalf("%d blobs: %v", len(files), err)
	}
	var gone int64
	if err := s.conn.QueryRow(t.Context(), `SELECT min(zoid + 1) FROM object_state AS before
		WHERE NOT EXISTS (SELECT FROM object_state WHERE zoid = before.zoid + 1)`).Scan(&gone); err != nil {
		t.Fatal(err)
	}
	files = append(files, file{files[0].Zoid, files[0].Tid - 1<<32}, file{gone, files[0].Tid})
	temporary := filepath.Join(dir, "tmp", "BUCx2f4t1k5")
	for _, f := range files {
		if err := zodbtest.WriteBlob(dir, zodbtest.Bushy, f.Zoid, f.Tid, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(temporary), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(temporary, make([]byte, 500), 0o644); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	with := strings.Replace(string(text), "keep-history", "shared-blob-dir true\nblob-dir "+dir+"\nkeep-history", 1)
	if err := os.WriteFile(config, []byte(with), 0o600); err != nil {
		t.Fatal(err)
	}
}

var spent = regexp.MustCompile(`(?m)^(time|peak memory|on disk) .*$`)

// plain is a transcript without what changes from day to day.
func plain(text string) string {
	return spent.ReplaceAllString(ago.ReplaceAllString(trimmed(text), "(ago)"), "$1")
}

// trimmed has no white space at the ends of lines.
func trimmed(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}
