package zconfig

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEveryFaultIsNamedWithItsLine(t *testing.T) {
	t.Parallel()
	in := func(lines ...string) string {
		return "<relstorage>\n" + strings.Join(lines, "\n") + "\n</relstorage>"
	}
	pg := func(line string) string { return in("<postgresql>", line, "</postgresql>") }
	tests := []struct{ name, text, want string }{
		{"no storage", "a b", ": no <relstorage> section"},
		{"empty file", "", ": no <relstorage> section"},
		{"unknown key", in("keep-histroy false"), `:2: <relstorage> has no key "keep-histroy"`},
		{"underscores", in("keep_history false"), `"keep_history": it is spelt keep-history`},
		{"unknown key of the adapter", pg("dns dbname=x"), `:3: <postgresql> has no key "dns"`},
		{"key twice", in("pack-gc true", "PACK-GC true"), ":3: pack-gc was set already, at "},
		{"bad boolean", in("keep-history flase"), `:2: keep-history is "flase": expected`},
		{"boolean without value", in("keep-history"), ":2: keep-history has no value"},
		{"blob-dir without value", in("blob-dir"), ":2: blob-dir has no value"},
		{"bad number", in("commit-lock-timeout 30s"), `:2: commit-lock-timeout is "30s": expected whole seconds`},
		{"fraction", in("commit-lock-timeout 1.5"), `is "1.5": expected whole seconds`},
		{"negative", in("commit-lock-timeout -1"), `is "-1": expected whole seconds`},
		{"too many seconds", in("commit-lock-timeout 9999999999999"), "expected whole seconds"},
		{"bad float", in("pack-batch-timeout nan"), `:2: pack-batch-timeout is "nan": expected seconds`},
		{"infinite", in("pack-batch-timeout inf"), "expected seconds"},
		{"number without value", in("pack-batch-timeout"), "pack-batch-timeout has no value"},
		{"unknown name", pg("dsn dbname=$db"), `:3: substitution: "db" is not defined`},
		{"unknown name elsewhere", "\nfoo $db", `:2: substitution: "db" is not defined`},
		{"unset variable", pg("dsn $(RELPACK_TEST_NEVER_SET)"), `:3: the environment variable RELPACK_TEST_NEVER_SET is not set`},
		{"lone dollar", pg("dsn a$"), ":3: substitution: a lone $"},
		{"dollar and no name", pg("dsn a$1"), ":3: substitution: $ is not followed by a name"},
		{"open brace", pg("dsn ${a"), ":3: substitution: ${ is not followed by a name and }"},
		{"defined twice", "%define a b\n%define A c", `:2: %define: "A" is defined already`},
		{"define without name", "%define", ":1: %define has no argument"},
		{"define of no name", "%define 1a b", ":1: %define: not a name"},
		{"include of nothing", "%include", ":1: %include has no argument"},
		{"include of a missing file", "\n%include missing.conf", ":2: %include: stat "},
		{"include of http", "%include http://example.org/a.conf", ":1: %include: can't include http: URLs"},
		{"include of a package", "%include package:a:b.conf", "can't include package: URLs"},
		{"include from another host", "%include file://other/a.conf", `names another host, "other"`},
		{"include of a directory", "%include /", ":1: %include: read /: is a directory"},
		{"include of itself", "\n%include pack.conf", "it includes itself"},
		{"unknown directive", "%inclde a", ":1: unknown directive %inclde"},
		{"lone percent", "% define a b", ":1: a % without a directive"},
		{"never closed", "a b\n<zodb>\n<relstorage/>", ":2: section <zodb> is never closed"},
		{"closed wrongly", "<zodb>\n</zodb_db>", ":2: </zodb_db> does not close <zodb> of line 1"},
		{"closed twice", "<zodb/>\n</zodb>", ":2: </zodb> closes a section that was not opened"},
		{"start without end", "<zodb", ":1: malformed section start"},
		{"end without end", "<zodb>\n</zodb", ":2: malformed section end"},
		{"two names", "<zodb a b>", ":1: malformed section start"},
		{"no type", "<>", ":1: malformed section start"},
		{"no type in an empty section", "</>", ":1: </> closes a section"},
		{"no key", "(a b)", ":1: malformed line"},
		{"two adapters", in("<postgresql/>", "<mysql/>"), ":3: <relstorage> of line 1 has two adapters, <postgresql> and <mysql>"},
		{"unknown adapter", in("<postgres/>"), ":2: <relstorage> can't hold a section <postgres>"},
		{"storage in a storage", in("<relstorage/>"), "can't hold a section <relstorage>"},
		{"section in the adapter", in("<postgresql>", "<a/>", "</postgresql>"), ":3: <postgresql> can't hold a section <a>"},
		{"doubling definitions", "%define a0 xxxxxxxx\n" + doubling(20), "value is longer than 65536 bytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := write(t, test.text)
			storages, err := Load(path)
			if err == nil {
				t.Fatalf("no error but %+v", storages)
			}
			if located := (*Error)(nil); !errors.As(err, &located) || located.File != path {
				t.Errorf("%v is no *Error of %s", err, path)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q\nlacks %q", err, test.want)
			}
		})
	}
}

// doubling returns definitions each of which is twice the one before.
func doubling(n int) string {
	var text strings.Builder
	for i := range n {
		a, b := string(rune('a'+i)), string(rune('a'+i+1))
		text.WriteString("%define " + b + "0 $" + a + "0$" + a + "0\n")
	}
	return text.String()
}

func TestAMissingFileIsReportedAsSuch(t *testing.T) {
	t.Parallel()
	_, err := Load(filepath.Join(t.TempDir(), "none.conf"))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "none.conf") {
		t.Errorf("error %v", err)
	}
}

func TestAFaultInAnIncludedFileNamesThatFile(t *testing.T) {
	t.Parallel()
	path := write(t, "<relstorage>\n%include part.conf\n</relstorage>")
	part := filepath.Join(filepath.Dir(path), "part.conf")
	if err := os.WriteFile(part, []byte("\n</relstorage>"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(path)
	if err == nil || !strings.HasPrefix(err.Error(), part+":2: </relstorage> closes a section that was not opened in this file") {
		t.Errorf("error %v", err)
	}
}

func TestALoopOfIncludesThroughASymbolicLinkIsDetected(t *testing.T) {
	t.Parallel()
	path := write(t, "%include link/pack.conf")
	if err := os.Symlink(".", filepath.Join(filepath.Dir(path), "link")); err != nil {
		t.Skip(err)
	}
	_, err := Load(path)
	if err == nil || !strings.Contains(err.Error(), "includes itself") {
		t.Errorf("error %v", err)
	}
}

func TestFilesIncludedByFilesManyTimesOverAreGivenUp(t *testing.T) {
	t.Parallel()
	path := write(t, "%include a\n%include a\n%include a")
	for c := 'a'; c < 'p'; c++ {
		next := string(c + 1)
		text := "%include " + next + "\n%include " + next + "\n%include " + next
		if c == 'o' {
			text = ""
		}
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), string(c)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Load(path)
	if err == nil || !strings.Contains(err.Error(), "more than 1000 files") {
		t.Errorf("error %v", err)
	}
}

func TestErrorsDoNotRepeatPasswords(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"<relstorage>\n<postgresql>\ndsn dbname=x\npassword='geheim'\n</postgresql>\n</relstorage>",
		"<relstorage>\npassword='geheim' host=x\n</relstorage>",
		"<relstorage>\n<postgresql>\ndsn password=geheim$\n</postgresql>\n</relstorage>",
		"<relstorage>\n<postgresql>\ndsn password=geheim1\ndsn password=geheim2\n</postgresql>\n</relstorage>",
		"%define a geheim1\n%define a geheim2",
		"<password='geheim'/>\n</x>",
	} {
		if _, err := Load(write(t, text)); err == nil || strings.Contains(err.Error(), "geheim") {
			t.Errorf("error %v for\n%s", err, text)
		}
	}
}
