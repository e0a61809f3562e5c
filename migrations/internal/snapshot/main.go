// Snapshot writes the newest migration of server code from the directory sql.
//
// Without arguments it rewrites the last migration whose first line says that
// it is a snapshot; -new NAME starts another one, which is what a release
// needs whose predecessor was tagged. A definition that no earlier snapshot
// has in the same text goes into Up, and its previous text (or a DROP) into
// Down. One whose signature or result changed is dropped first.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
)

const (
	header = "-- A snapshot of server code, written from sql/ by \"go generate ./migrations\"."
	begin  = "-- sql/"
	// Views are parsed on creation: with what others put into public in reach,
	// an operator of theirs could become part of one.
	settings = `SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL check_function_bodies = off;
SET LOCAL lock_timeout = '200ms';
`
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("snapshot: ")
	name := flag.String("new", "", "start a new migration with this name")
	flag.Parse()
	if err := run("../sql", ".", *name); err != nil {
		log.Fatal(err)
	}
}

func run(sqlDir, migrationDir, name string) error {
	now, err := definitions(sqlDir)
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(migrationDir, "*.sql"))
	if err != nil {
		return err
	}
	sort.Strings(files)
	target := filepath.Join(migrationDir, fmt.Sprintf("%05d_%s.sql", len(files)+1, name))
	before := map[string]string{}
	for i, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(string(text), header) {
			continue
		}
		if name == "" && i == len(files)-1 {
			target = file
			break
		}
		for object, definition := range snapshot(string(text)) {
			if definition == "" {
				delete(before, object)
				continue
			}
			before[object] = definition
		}
	}
	if name == "" && target != files[len(files)-1] {
		return fmt.Errorf("%s is no snapshot: use -new NAME", files[len(files)-1])
	}
	return os.WriteFile(target, []byte(migration(before, now)), 0o644)
}

// definitions reads sql/: object name to text.
func definitions(dir string) (map[string]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.sql"))
	if err != nil {
		return nil, err
	}
	texts := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		object := strings.TrimSuffix(filepath.Base(file), ".sql")
		if kind, created := created(string(text)); created != object {
			return nil, fmt.Errorf("%s creates the %s %q", file, kind, created)
		}
		texts[object] = strings.TrimSpace(string(text))
	}
	return texts, nil
}

var creates = regexp.MustCompile(`(?m)^CREATE OR REPLACE (FUNCTION|PROCEDURE|VIEW) relpack\."?(\w+)"?`)

func created(text string) (kind, name string) {
	if match := creates.FindStringSubmatch(text); match != nil {
		return match[1], match[2]
	}
	return "", ""
}

var drops = regexp.MustCompile(`(?m)^DROP \w+ relpack\."(\w+)";$`)

// snapshot reads the Up part of a migration written by this program: object
// name to text, which is empty for an object that it removes.
func snapshot(text string) map[string]string {
	up, _, _ := strings.Cut(text, "-- +goose Down")
	texts := map[string]string{}
	for _, match := range drops.FindAllStringSubmatch(up, -1) {
		texts[match[1]] = ""
	}
	for _, part := range strings.Split(up, "\n"+begin)[1:] {
		file, body, _ := strings.Cut(part, "\n")
		body = strings.TrimPrefix(body, "-- +goose StatementBegin\n")
		body, _, _ = strings.Cut(body, "\n-- +goose StatementEnd")
		texts[strings.TrimSuffix(file, ".sql")] = strings.TrimSpace(body)
	}
	return texts
}

// migration orders functions before the views that use them; bodies are not
// checked on creation, so that functions may name each other in any order.
func migration(before, now map[string]string) string {
	var up, down strings.Builder
	fmt.Fprintf(&up, "%s\n\n-- +goose Up\n%s", header, settings)
	fmt.Fprintf(&down, "\n-- +goose Down\n%s", settings)
	changed, dropped := changes(before, now)
	if len(before) == 0 {
		fmt.Fprintln(&down, "SELECT relpack.drop_triggers();")
	}
	for i := len(changed) - 1; i >= 0; i-- {
		if object := changed[i]; dropped[object] {
			drop(&up, object, before[object])
			drop(&down, object, now[object])
		}
	}
	for _, object := range changed {
		statement(&up, object, now[object])
		statement(&down, object, before[object])
	}
	fmt.Fprint(&up, "\nREVOKE ALL ON ALL FUNCTIONS IN SCHEMA relpack FROM PUBLIC;\n")
	fmt.Fprintf(&up, "SELECT relpack.take_back(%s);\n", newNames(before, changed, dropped))
	if len(before) == 0 {
		fmt.Fprint(&up, "SELECT relpack.create_triggers();\nSELECT relpack.trim_committed();\n")
	}
	return up.String() + down.String()
}

// newNames is the argument of relpack.take_back(): the first migration has made
// everything; what is replaced keeps the rights that were granted on it.
func newNames(before map[string]string, changed []string, dropped map[string]bool) string {
	if len(before) == 0 {
		return "NULL"
	}
	var names []string
	for _, object := range changed {
		if before[object] == "" || dropped[object] {
			names = append(names, object)
		}
	}
	return "'{" + strings.Join(names, ",") + "}'"
}

// changes lists what differs, functions first, and which of it has to be
// dropped: what CREATE OR REPLACE can't change, and what depends on such.
func changes(before, now map[string]string) (changed []string, dropped map[string]bool) {
	all := map[string]bool{}
	for _, texts := range []map[string]string{before, now} {
		for object := range texts {
			all[object] = true
		}
	}
	dropped = map[string]bool{}
	for object := range all {
		if signature(before[object]) != signature(now[object]) {
			dropped[object] = true
		}
	}
	for more := true; more; {
		more = false
		for object := range all {
			if !dropped[object] && (dependsOn(before[object], dropped) || dependsOn(now[object], dropped)) {
				dropped[object], more = true, true
			}
		}
	}
	for object := range all {
		if before[object] != now[object] || dropped[object] {
			changed = append(changed, object)
		}
	}
	isView := func(object string) bool {
		kind, _ := created(now[object] + before[object])
		return kind == "VIEW"
	}
	sort.Slice(changed, func(i, j int) bool {
		if a, b := isView(changed[i]), isView(changed[j]); a != b {
			return b
		}
		return changed[i] < changed[j]
	})
	return changed, dropped
}

var names = regexp.MustCompile(`relpack\."?(\w+)"?`)

// dependsOn tells whether PostgreSQL keeps a definition from outliving one of
// these objects: it looks at the whole of a view, at the head of a function, and
// at its body where that is no string.
func dependsOn(text string, objects map[string]bool) bool {
	_, own := created(text)
	head := text
	if strings.Contains(text, "AS $$") {
		head = signature(text)
	}
	for _, match := range names.FindAllStringSubmatch(head, -1) {
		if match[1] != own && objects[match[1]] {
			return true
		}
	}
	return false
}

// signature is what CREATE OR REPLACE can't change: all before the body. A
// view is always dropped, since its columns can't be told from its text.
func signature(text string) string {
	if kind, _ := created(text); kind == "VIEW" {
		return text
	}
	_, definition, _ := strings.Cut(text, "CREATE OR REPLACE ")
	head, _, _ := strings.Cut(definition, "LANGUAGE ")
	return head
}

func drop(b *strings.Builder, object, text string) {
	if text == "" {
		return
	}
	kind, _ := created(text)
	fmt.Fprintf(b, "DROP %s relpack.%q;\n", kind, object)
}

func statement(b *strings.Builder, object, text string) {
	if text == "" {
		return
	}
	fmt.Fprintf(b, "\n%s%s.sql\n-- +goose StatementBegin\n%s\n-- +goose StatementEnd\n", begin, object, text)
}
