package check_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"relpack/runner/check"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/target"
)

// counts are those of a report in JSON.
func counts(t *testing.T, r *check.Report) map[string]any {
	t.Helper()
	text, err := json.Marshal([]*check.Report{r})
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	found := map[string]any{}
	blobs, _ := all[0]["blobs"].(map[string]any)
	for _, from := range []map[string]any{all[0], blobs} {
		for _, key := range []string{"written_since", "lost_count", "references_to_lost", "undecodable_count", "blocking_count", "undecodable_garbage",
			"files_found", "missing_count", "missing_large_objects_count"} {
			if value, there := from[key]; there {
				found[key] = value
			}
		}
	}
	return found
}

// A program that reads 0 takes it for good news.
func TestWhatWasNotCountedIsNull(t *testing.T) {
	t.Parallel()
	unknown := map[string]any{"written_since": nil, "lost_count": nil, "references_to_lost": nil, "undecodable_count": nil, "blocking_count": nil,
		"undecodable_garbage": nil, "files_found": nil, "missing_count": nil, "missing_large_objects_count": nil}
	lost := storage{Target: target.Target{DSN: "host=/none/such"}}
	if r := lost.check(t, 1); !reflect.DeepEqual(counts(t, r), unknown) {
		t.Errorf("not connected: %v", counts(t, r))
	}
	unbuilt := newEmpty(t)
	packtest.CommitRecords(t, unbuilt.conn, garden())
	if r := unbuilt.check(t, 1); !reflect.DeepEqual(counts(t, r), unknown) {
		t.Errorf("not built: %v", counts(t, r))
	}
	known := map[string]any{"written_since": 0.0, "lost_count": 0.0, "references_to_lost": 0.0, "undecodable_count": 0.0, "blocking_count": 0.0,
		"undecodable_garbage": 0.0, "files_found": 0.0, "missing_count": 0.0, "missing_large_objects_count": 0.0}
	if r := newStorage(t, garden()).check(t, 0); !reflect.DeepEqual(counts(t, r), known) {
		t.Errorf("sound: %v", counts(t, r))
	}
	objects := garden()
	objects[2] = zodbtest.Record(zodbtest.Blob)
	known["files_found"], known["missing_count"] = nil, nil
	if r := newStorage(t, objects).check(t, 0); !reflect.DeepEqual(counts(t, r), known) {
		t.Errorf("without a blob directory: %v", counts(t, r))
	}
}
