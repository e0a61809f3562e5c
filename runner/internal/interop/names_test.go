package interop

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
)

// expectNames asks relpack why objects are alive: Python finds each by the name that
// it gets, and all that are stored are.
func (w *site) expectNames(stored []int64) {
	w.t.Helper()
	args := []string{"why", "--json", w.config}
	for i := 0; i < len(stored); i += max(len(stored)/500, 1) {
		args = append(args, strconv.FormatInt(stored[i], 10))
	}
	answers := filepath.Join(w.dir, "answers.json")
	if err := os.WriteFile(answers, []byte(w.relpack(args...)), 0o644); err != nil {
		w.t.Fatal(err)
	}
	var names struct {
		Found int
		Wrong [][3]any
	}
	if err := json.Unmarshal([]byte(w.script("names.py", w.config, answers)), &names); err != nil {
		w.t.Fatalf("read the names: %v", err)
	}
	if names.Found == 0 || len(names.Wrong) > 0 {
		w.t.Errorf("Python finds %d objects by their names, not %v", names.Found, names.Wrong[:min(len(names.Wrong), 10)])
	}
	w.t.Logf("Python finds %d objects by their names", names.Found)
	w.relpack("check", w.config)
}
