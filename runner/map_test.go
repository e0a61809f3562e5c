package runner

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// packageMap is the list of packages in doc.go, from the top to the end.
func packageMap(t *testing.T) (names []string, text string) {
	t.Helper()
	bytes, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(bytes), "// # Packages\n")
	list, _, _ := strings.Cut(after, "// An arrow")
	for _, line := range strings.Split(list, "\n") {
		for _, found := range regexp.MustCompile(`(?:^//\t| {2,})([a-z/]+) {2,}[a-z]`).FindAllStringSubmatch(line, -1) {
			names = append(names, found[1])
		}
	}
	return names, string(bytes)
}

func TestNoArrowBetweenPackagesRunsUp(t *testing.T) {
	t.Parallel()
	names, _ := packageMap(t)
	for _, dir := range names {
		paths, err := filepath.Glob(dir + "/*.go")
		if err != nil || len(paths) == 0 {
			t.Errorf("doc.go names a package %s: %d files, %v", dir, len(paths), err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, imported := range file.Imports {
				other, ours := strings.CutPrefix(strings.Trim(imported.Path.Value, `"`), "relpack/runner/")
				if ours && slices.Index(names, other) <= slices.Index(names, dir) {
					t.Errorf("%s imports %s, which doc.go has above it or not at all", path, other)
				}
			}
		}
	}
	dirs, err := filepath.Glob("*/doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		if name := filepath.Dir(dir); !slices.Contains(names, name) {
			t.Errorf("doc.go does not name the package %s", name)
		}
	}
}

func TestTheMapOfStepsNamesFilesAndFunctionsThatExist(t *testing.T) {
	t.Parallel()
	_, text := packageMap(t)
	_, after, _ := strings.Cut(text, "step by step\n")
	steps, _, _ := strings.Cut(after, "// # Packages")
	for _, line := range strings.Split(steps, "\n") {
		found := regexp.MustCompile(`^//\t(\S+) .*?  ([a-z]+/[a-z_]+\.go.*)$`).FindStringSubmatch(line)
		if found == nil {
			continue
		}
		name := found[1][strings.LastIndex(found[1], ".")+1:]
		var source []byte
		dir := ""
		for _, file := range strings.Split(found[2], ", ") {
			if d := filepath.Dir(file); d != "." {
				dir = d
			}
			bytes, err := os.ReadFile(filepath.Join(dir, filepath.Base(file)))
			if err != nil {
				t.Error(err)
			}
			source = append(source, bytes...)
		}
		if !regexp.MustCompile(`(?m)^(func (\(.*\) )?|type )` + name + `\b`).Match(source) {
			t.Errorf("%s: no %s in %s", found[1], name, found[2])
		}
	}
}

// A phase that wrote into the report could not be read alone.
func TestOnlyTheFlowOfAPackFillsItsReport(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("pack/*.go")
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d files, %v", len(paths), err)
	}
	for _, path := range paths {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		flow := path == "pack/pack.go" || path == "pack/family.go"
		if found := strings.Count(string(source), "p.report"); !flow && found > 0 {
			t.Errorf("%s mentions p.report %d times: return what was found instead", path, found)
		}
	}
}
