package pack_test

import (
	"slices"
	"strings"
	"testing"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/revision"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/inventory"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// newHistory is a history-preserving storage with relpack, and a file that says nothing
// of garbage: it is collected.
func newHistory(t *testing.T, version zodbtest.Version) (target.Target, zodbtest.History) {
	t.Helper()
	return newStored(t, version, "pack-gc true")
}

func page(refs ...int64) []byte { return zodbtest.Record(zodbtest.Document, refs...) }

// collect packs, which has to leave what the rule says; before that a dry run has to say
// what goes.
func collect(t *testing.T, file target.Target, h zodbtest.History, days float64, packTid int64) *pack.Report {
	t.Helper()
	before := allRevisions(t, h.Conn)
	want := before.Collect(packTid).Stay()
	dry := trimDays(days)
	dry.DryRun = true
	would := packtest.Pack(t, file, dry)
	if now := allRevisions(t, h.Conn); !slices.Equal(now.Keys(), before.Keys()) {
		t.Fatalf("a dry run left %v of %v", now.Keys(), before.Keys())
	}
	done := packtest.Pack(t, file, trimDays(days))
	after := allRevisions(t, h.Conn)
	if !slices.Equal(after.Keys(), want) {
		t.Errorf("a pack up to %d left\n%v, want\n%v, of\n%v", packTid, after.Keys(), want, before.Keys())
	}
	if would.Chosen != done.Deleted || would.Trimmed.Revisions != done.Trimmed.Revisions || would.Trimmed.Bytes != done.Trimmed.Bytes ||
		would.Trimmed.Marked != done.Trimmed.Marked {
		t.Errorf("the dry run said %+v and %+v, the pack did %+v and %+v", would.Chosen, would.Trimmed, done.Deleted, done.Trimmed)
	}
	var told inventory.ClassHistory
	for _, c := range done.Trimmed.ByClass {
		told.Revisions, told.Bytes = told.Revisions+c.Revisions, told.Bytes+c.Bytes
	}
	if !slices.Equal(would.Trimmed.ByClass, done.Trimmed.ByClass) || told.Revisions != done.Trimmed.Revisions || told.Bytes != done.Trimmed.Bytes {
		t.Errorf("of %+v the dry run told %+v, the pack %+v", done.Trimmed, would.Trimmed.ByClass, done.Trimmed.ByClass)
	}
	for zoid := range after.Revisions {
		if after.Current[zoid] != before.Current[zoid] {
			t.Errorf("the current revision of %d is %d, was %d", zoid, after.Current[zoid], before.Current[zoid])
		}
	}
	for zoid := range after.Current {
		if len(after.Revisions[zoid]) == 0 {
			t.Errorf("current_object has %d, which is gone", zoid)
		}
	}
	return done
}

func gone(before, after *revision.Storage) []int64 {
	var zoids []int64
	for _, zoid := range before.Zoids() {
		if len(after.Revisions[zoid]) == 0 {
			zoids = append(zoids, zoid)
		}
	}
	return zoids
}

func TestAPackOfAHistoryCollectsWhatNothingKeptRefersTo(t *testing.T) {
	t.Parallel()
	for _, version := range []zodbtest.Version{zodbtest.V15, zodbtest.V21, zodbtest.V30, zodbtest.V35, zodbtest.V42} {
		t.Run(version.String(), func(t *testing.T) {
			t.Parallel()
			file, h := newHistory(t, version)
			newDiary(t, h)
			before := allRevisions(t, h.Conn)
			collect(t, file, h, 5, daysAgo(5))
			if got := gone(before, allRevisions(t, h.Conn)); !slices.Equal(got, []int64{3, 4}) {
				t.Errorf("gone: %v", got)
			}
			// Object 1 was cut off a moment ago: until then a revision refers to it.
			collect(t, file, h, 0.5, daysAgo(0.5))
			collect(t, file, h, -1, daysAgo(0))
			if got := gone(before, allRevisions(t, h.Conn)); !slices.Equal(got, []int64{1, 3, 4}) {
				t.Errorf("gone: %v", got)
			}
		})
	}
}

// No commit is later than what was noticed, and a pack goes no further than the last one.
func TestWhatStaysOnASiteWithoutCommitsIsExplained(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(10), map[int64][]byte{0: page(1), 1: page()})
	packtest.Pack(t, file, trimDays(1))
	packtest.Run(t, h.Conn, "UPDATE object_state SET state = $1 WHERE zoid = 0", page())
	const says = "found to be unreachable after the last commit"
	stays := packtest.Pack(t, file, trimDays(0))
	packtest.ExpectWords(t, strings.Join(stays.Notes(), "\n"), says)
	store(t, h, daysAgo(0), map[int64][]byte{0: page()})
	goes := packtest.Pack(t, file, trimDays(0))
	if goes.Deleted.Objects != 1 || strings.Contains(strings.Join(goes.Notes(), "\n"), says) {
		t.Errorf("%d objects went: %q", goes.Deleted.Objects, goes.Notes())
	}
}
