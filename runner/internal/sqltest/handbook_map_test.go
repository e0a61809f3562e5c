package sqltest

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"relpack/sql"
)

// A callMap has for each function of the handbook's map those that it is said to
// call.
type callMap map[string][]string

// readMap reads the map; common are the functions of its last group, which it
// leaves out elsewhere.
func readMap(t *testing.T) (calls callMap, common map[string]bool) {
	t.Helper()
	_, drawn, found := strings.Cut(readHandbook(t), "\n### Who calls whom\n")
	_, drawn, fenced := strings.Cut(drawn, "\n```text\n")
	drawn, _, closed := strings.Cut(drawn, "\n```\n")
	if !found || !fenced || !closed {
		t.Fatalf("%s has no map of calls", handbookFile)
	}
	calls, common = callMap{}, map[string]bool{}
	group := ""
	for line := range strings.SplitSeq(drawn, "\n") {
		item, indented := strings.CutPrefix(line, "  ")
		if !indented {
			group = line
			continue
		}
		name, callees, _ := strings.Cut(item, " > ")
		if _, twice := calls[name]; twice {
			t.Errorf("%s has two lines in the map", name)
		}
		calls[name] = nil
		if callees != "" {
			calls[name] = strings.Split(callees, ", ")
		}
		if group == "many call" {
			common[name] = true
		}
	}
	return calls, common
}

var (
	notCode = regexp.MustCompile(`--[^\n]*|'(?:[^']|'')*'`)
	named   = regexp.MustCompile(`\brelpack\."?(\w+)"?`)
)

// realCalls looks in sql/ which functions and views name which, in the order
// of the text. A file is named after what it defines.
func realCalls(t *testing.T) callMap {
	t.Helper()
	files, err := sql.Files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	calls := callMap{}
	for _, file := range files {
		calls[strings.TrimSuffix(file.Name(), ".sql")] = nil
	}
	for name := range calls {
		code := notCode.ReplaceAllString(read(t, sql.Files, name+".sql"), "")
		code, _, _ = strings.Cut(code, "\nCOMMENT ON ")
		for _, m := range named.FindAllStringSubmatch(code, -1) {
			if _, ours := calls[m[1]]; ours && m[1] != name && !slices.Contains(calls[name], m[1]) {
				calls[name] = append(calls[name], m[1])
			}
		}
	}
	return calls
}

// Who reads one function finds in the map where it belongs, and what it relies on.
func TestTheHandbooksMapIsWhatTheFunctionsCall(t *testing.T) {
	t.Parallel()
	drawn, common := readMap(t)
	real := realCalls(t)
	if len(real) < 100 {
		t.Fatalf("only %d functions in sql/", len(real))
	}
	shown := map[string]bool{}
	for name, callees := range drawn {
		shown[name] = true
		if _, there := real[name]; !there {
			t.Errorf("%s: the map has %s, which is not there", handbookFile, name)
			continue
		}
		for _, callee := range callees {
			shown[callee] = true
			if !slices.Contains(real[name], callee) {
				t.Errorf("%s: the map has %s call %s, which it does not", handbookFile, name, callee)
			}
		}
	}
	for name := range real {
		needed := slices.DeleteFunc(slices.Clone(real[name]), func(callee string) bool { return common[callee] })
		_, line := drawn[name]
		missing := slices.ContainsFunc(needed, func(callee string) bool { return !slices.Contains(drawn[name], callee) })
		if !shown[name] || missing || !line && len(needed) > 0 {
			t.Errorf("%s: the map lacks this line, in the group that it belongs to:\n  %s", handbookFile, strings.TrimSuffix(name+" > "+strings.Join(needed, ", "), " > "))
		}
	}
	if len(common) > 25 {
		t.Error("many functions are said to be called from everywhere: draw them where they belong")
	}
}
