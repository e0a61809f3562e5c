package pack_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
)

func TestAHistoryBesideAStorageThatIsPackedIsReadAndNothingElse(t *testing.T) {
	t.Parallel()
	_, text := packtest.NewKin(t, "main")
	log, h := newHistory(t, zodbtest.V42)
	newDiary(t, h)
	path := filepath.Join(t.TempDir(), "site.conf")
	if err := os.WriteFile(path, []byte(text+packtest.Section("log", log.DSN)), 0o600); err != nil {
		t.Fatal(err)
	}
	targets, err := target.Targets(path, "", "")
	if err != nil {
		t.Fatal(err)
	}
	before := allRevisions(t, h.Conn)
	family := pack.NewFamily(targets[0].File)
	o := trimDays(-1)
	if _, err := family.Pack(t.Context(), targets[0], o, packtest.Log(t)); err != nil {
		t.Fatal(err)
	}
	now := allRevisions(t, h.Conn)
	if !slices.Equal(now.Keys(), before.Keys()) || now.Packed[daysAgo(10)] {
		t.Errorf("there are %v, were %v", now.Keys(), before.Keys())
	}
	for tid, packed := range now.Packed {
		if packed != before.Packed[tid] {
			t.Errorf("transaction %d was marked", tid)
		}
	}
	if _, err := family.Pack(t.Context(), targets[1], o, packtest.Log(t)); err != nil {
		t.Fatal(err)
	}
	// What was garbage when it was read for the first time has its grace.
	if got, want := allRevisions(t, h.Conn).Keys(), before.Collect(daysAgo(0), before.Zoids()...).Stay(); !slices.Equal(got, want) {
		t.Errorf("there are %v, want %v", got, want)
	}
}
