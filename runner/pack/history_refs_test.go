package pack_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// newMixed is a file of two storages: main, history-free with garbage 10 and 11, and
// hist, which keeps its history. Both are known to each other for long.
func newMixed(t *testing.T, setting string) (text string, main *packtest.Kin, h zodbtest.History) {
	t.Helper()
	file, h := newHistory(t, zodbtest.V42)
	kin, text := packtest.NewKin(t, "main")
	main = kin[0]
	packtest.Run(t, main.Conn, "UPDATE object_state SET tid = $1", daysAgo(50))
	packtest.CommitRecords(t, main.Conn, map[int64][]byte{1: page()})
	text += fmt.Sprintf("<zodb hist>\n<relstorage>\n%s\n<postgresql>\ndsn %s\n</postgresql>\n</relstorage>\n</zodb>\n", setting, file.DSN)
	store(t, h, daysAgo(40), map[int64][]byte{0: page(1), 1: page()})
	acquaint(t, text)
	longAgo(t, main, h)
	return text, main, h
}

// longAgo has the grace of all garbage begun long ago.
func longAgo(t *testing.T, main *packtest.Kin, h zodbtest.History) {
	t.Helper()
	packtest.Run(t, main.Conn, "UPDATE relpack.storage SET unreferred = now() - interval '50 days'")
	packtest.Run(t, h.Conn, "UPDATE relpack.storage SET unreferred = now() - interval '50 days'")
}

// packOne packs one storage of a file.
func packOne(t *testing.T, text, name string, o pack.Options) (*pack.Report, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "site.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	targets, err := target.Targets(path, "", "")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(targets, func(t target.Target) bool { return t.Name == name })
	return pack.Run(t.Context(), targets[i], o, packtest.Log(t))
}

func TestAnotherStorageIsToldWhatAnyRevisionThatIsStoredRefersTo(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ setting, after string }{
		{"pack-gc true", "nothing"},
		{"pack-gc true", "a dry run up to now"},
		{"pack-gc true", "an abandoned dry run"},
		{"pack-gc false", "a dry run up to now"},
		{"pack-gc false", "a build"},
	} {
		t.Run(test.setting+" after "+test.after, func(t *testing.T) {
			t.Parallel()
			text, main, h := newMixed(t, test.setting)
			store(t, h, daysAgo(20), map[int64][]byte{1: packtest.ForeignRecord("main", 10)})
			cut := store(t, h, daysAgo(9), map[int64][]byte{1: page()})
			store(t, h, daysAgo(8), map[int64][]byte{0: page(1)})
			o := trimDays(7)
			switch test.after {
			case "a dry run up to now":
				dry := trimDays(-1)
				dry.DryRun = true
				if _, err := packOne(t, text, "hist", dry); err != nil {
					t.Fatal(err)
				}
			case "an abandoned dry run":
				packtest.Run(t, h.Conn, "SELECT relpack.try_pack_lock()")
				packtest.Run(t, h.Conn, "SELECT relpack.horizon_move(NULL)")
				packtest.Run(t, h.Conn, "SELECT relpack.release_pack_lock()")
			case "a build":
				o.Init = true
			}
			_, err := packOne(t, text, "main", o)
			packtest.ExpectError(t, err, fault.ExitRefused, "hist (1 reference)")
			packtest.ExpectStored(t, main.Conn, 0, 1, 10, 11)
			if _, err := h.Undo(t.Context(), cut, 0); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWhatATrimTookHoldsUpNoOtherStorage(t *testing.T) {
	t.Parallel()
	text, main, h := newMixed(t, "pack-gc true")
	store(t, h, daysAgo(20), map[int64][]byte{1: packtest.ForeignRecord("main", 10)})
	store(t, h, daysAgo(9), map[int64][]byte{1: page()})
	if _, err := packOne(t, text, "hist", trimDays(7)); err != nil {
		t.Fatal(err)
	}
	if _, err := packOne(t, text, "main", trimDays(7)); err != nil {
		t.Fatal(err)
	}
	packtest.ExpectStored(t, main.Conn, 0, 1)
}

func TestWhatWasCutOffInAHistorySinceAnotherStorageWasReadStays(t *testing.T) {
	t.Parallel()
	text, main, h := newMixed(t, "pack-gc true")
	store(t, h, daysAgo(20), map[int64][]byte{0: page(1, 2), 2: page()})
	o := trimDays(-1)
	moved := false
	o.Progress = &packtest.Hooks{OnPhase: func(name string) {
		// The first deletion is that of main: all were read by then.
		if name == "delete" && !moved {
			moved = true
			packtest.CommitRecords(t, packtest.Session(t, main.Target), map[int64][]byte{1: packtest.ForeignRecord("hist", 2)})
			store(t, h, 0, map[int64][]byte{0: page(1)})
			store(t, h, 0, map[int64][]byte{1: page()})
		}
	}}
	failed, _ := packtest.PackFile(t, text, o)
	packtest.ExpectFine(t, failed, "main", "hist")
	if !moved {
		t.Error("nothing was deleted")
	}
	expectObjects(t, h, "moved to another storage", 0, 1, 2)
	_, err := h.Conn.Exec(t.Context(), "SELECT relpack.horizon_set((SELECT max(tid) FROM object_state), false); SELECT relpack.doom(NULL)")
	packtest.ExpectWords(t, fmt.Sprint(err), "look at another storage")
}

// What only another storage referred to, a client may still see referred to there.
func TestWhatAnotherStorageCeasedToReferToBesideATransactionStaysInAHistory(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(30), map[int64][]byte{0: page(1), 1: page(), 7: page()})
	store(t, h, daysAgo(2), map[int64][]byte{1: page()})
	store(t, h, daysAgo(1), map[int64][]byte{1: page()})
	dry := trimDays(0)
	dry.DryRun = true
	packtest.Pack(t, file, dry)
	packtest.Run(t, h.Conn, "INSERT INTO relpack.referred_by (refs, unreadable, looked, origin, holder) VALUES (1, 0, now(), 'elsewhere', 'main')")
	reader := packtest.Session(t, file)
	packtest.Run(t, reader, "BEGIN ISOLATION LEVEL REPEATABLE READ")
	packtest.Run(t, reader, "SELECT FROM object_state")
	packtest.Run(t, h.Conn, "DELETE FROM relpack.referred_by")
	packtest.Pack(t, file, trimDays(0))
	expectObjects(t, h, "beside a transaction that is older", 0, 1, 7)
	packtest.Run(t, reader, "COMMIT")
	packtest.Pack(t, file, trimDays(0))
	expectObjects(t, h, "without one", 0, 1)
}

// In a session that never made the setting of a sweep it is NULL, and so is what is compared
// with it.
func TestADeletionByOthersOfWhatIsChosenIsReported(t *testing.T) {
	t.Parallel()
	file, h := newHistory(t, zodbtest.V42)
	store(t, h, daysAgo(20), map[int64][]byte{0: page(1), 1: page(), 2: page()})
	dryRun(t, file, 1)
	other := packtest.Session(t, file)
	packtest.Run(t, other, "DELETE FROM current_object WHERE zoid = 2")
	packtest.Run(t, other, "DELETE FROM object_state WHERE zoid = 2")
	if n := packtest.Get[int](t, h.Conn, "SELECT count(*) FROM relpack.write_event JOIN relpack.doomed USING (zoid) WHERE kind = 'deleted'"); n != 1 {
		t.Errorf("%d of 1 deletions are reported", n)
	}
}
