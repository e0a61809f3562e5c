package sqltest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const readmeFile = "../../../README.md"

// texts of the program: what it prints is put together from them.
func programText(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("../../../sql/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	goFiles(t, func(path string) { files = append(files, path) })
	var text strings.Builder
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(content)
	}
	return strings.NewReplacer("''", "'", `\"`, `"`).Replace(text.String())
}

// Who looks a message up finds it in the words that relpack prints.
func TestTheHandbookAndReadmeHaveTheProgramsMessages(t *testing.T) {
	t.Parallel()
	program := programText(t)
	for _, file := range []string{readmeFile, handbookFile} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, table, found := strings.Cut(string(text), "\n| the message has | meaning | what to do |\n")
		if !found {
			t.Fatalf("%s has no table of messages", file)
		}
		table, _, _ = strings.Cut(table, "\n\n")
		rows := strings.Split(table, "\n")[1:]
		if len(rows) < 8 {
			t.Errorf("%s: only %d messages", file, len(rows))
		}
		for _, row := range rows {
			for phrase := range strings.SplitSeq(strings.Split(row, "|")[1], ";") {
				if phrase = strings.TrimSpace(phrase); !strings.Contains(program, phrase) {
					t.Errorf("%s: relpack never says %q", file, phrase)
				}
			}
		}
	}
}

var (
	documentLink = regexp.MustCompile(`\]\(([^)#:]*)(#[^)]*)?\)`)
	heading      = regexp.MustCompile(`(?m)^#+ (.*)$`)
	notInAnchor  = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

func TestTheHandbookAndReadmeLinkToWhatIsThere(t *testing.T) {
	t.Parallel()
	for _, file := range []string{readmeFile, handbookFile, "../README.md", "../bench/README.md", "../../why/README.md", "../../pack/README.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range documentLink.FindAllStringSubmatch(string(text), -1) {
			to := file
			if link[1] != "" {
				to = filepath.Join(filepath.Dir(file), link[1])
			}
			if info, err := os.Stat(to); err == nil && info.IsDir() && link[2] == "" {
				continue
			}
			there, err := os.ReadFile(to)
			if err != nil {
				t.Errorf("%s links to %s: %v", file, link[1], err)
				continue
			}
			if link[2] != "" && !anchors(string(there))[link[2][1:]] {
				t.Errorf("%s links to %s%s, which is not there", file, link[1], link[2])
			}
		}
	}
}

// anchors are what GitHub makes of headings.
func anchors(text string) map[string]bool {
	found := map[string]bool{}
	for _, h := range heading.FindAllStringSubmatch(text, -1) {
		name := strings.ToLower(notInAnchor.ReplaceAllString(h[1], ""))
		found[strings.ReplaceAll(name, " ", "-")] = true
	}
	return found
}
