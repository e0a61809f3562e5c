package why_test

import (
	"strings"
	"testing"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/program"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/look"
)

func TestWhatWasAttachedSinceTheLastPackIsAlive(t *testing.T) {
	t.Parallel()
	s := newStorage(t, garden())
	s.expect(t, map[int64]look.Verdict{2: look.Alive, 10: look.Unreachable, 11: look.Unreachable})
	packtest.CommitRecords(t, s.conn, map[int64][]byte{2: record(20), 20: record(10)})
	s.expect(t, map[int64]look.Verdict{10: look.Alive, 11: look.Alive, 20: look.Alive})
	a := s.ask(t, 0, 11)[0]
	if !strings.HasSuffix(a.Name, ".ref0.ref0.ref0.ref0") || len(a.Way) != 6 {
		t.Errorf("%s %+v", a.Name, a.Way)
	}
}

func TestWhatWasCutOffSinceTheLastPackIsUnreachable(t *testing.T) {
	t.Parallel()
	s := newStorage(t, garden())
	packtest.CommitRecords(t, s.conn, map[int64][]byte{1: record()})
	s.expect(t, map[int64]look.Verdict{2: look.Alive}) // by 3
	packtest.CommitRecords(t, s.conn, map[int64][]byte{3: record()})
	s.expect(t, map[int64]look.Verdict{1: look.Alive, 2: look.Unreachable, 3: look.Alive})
	packtest.CommitRecords(t, s.conn, map[int64][]byte{30: record(2)}) // garbage that refers to it
	s.expect(t, map[int64]look.Verdict{2: look.Unreachable, 30: look.Unreachable})
}

func TestGarbageThatAnotherStorageMayReferToIsNotCertain(t *testing.T) {
	t.Parallel()
	s := newStorage(t, garden())
	packtest.Run(t, s.conn, "INSERT INTO relpack.referred_by (refs, unreadable, origin, holder) VALUES (0, 0, '', 'other')")
	s.expect(t, map[int64]look.Verdict{1: look.Alive, 10: look.Unknown, 11: look.Unknown})
	packtest.CommitRecords(t, s.conn, map[int64][]byte{40: record()}) // nobody knows it yet
	for _, zoid := range []string{"10", "40"} {
		// A dry run changes nothing of that.
		r := program.Run(t, "why", "--dsn", s.dsn, zoid)
		packtest.ExpectWords(t, r.Stdout, "objects of other databases refer to this storage, or may: other (never read)", "Correct the dsn of other", "but see above")
		if strings.Contains(r.Stdout, "dry-run") {
			t.Error(r.Stdout)
		}
	}
	packtest.Run(t, s.conn, "UPDATE relpack.referred_by SET looked = now()")
	s.expect(t, map[int64]look.Verdict{1: look.Alive, 10: look.Unreachable})
}

// An old tid tells nothing: an event does.
func TestWhatWasRestoredSinceTheLastPackIsRead(t *testing.T) {
	t.Parallel()
	s := newStorage(t, garden())
	packtest.Run(t, s.conn, "UPDATE object_state SET state = $1 WHERE zoid = 2", record(10))
	s.expect(t, map[int64]look.Verdict{10: look.Alive, 11: look.Alive})
}

// Nothing is called unreachable where the graph may not describe the storage.
func TestGarbageIsNotCertainWhileTheGraphIsInDoubt(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]string{
		"triggers were off":                   "ALTER TABLE object_state DISABLE TRIGGER relpack_report_insert; ALTER TABLE object_state ENABLE ALWAYS TRIGGER relpack_report_insert",
		"the table was rewritten":             "VACUUM FULL object_state",
		"an audit found a difference":         "UPDATE relpack.audit SET difference = 'it differs'",
		"something undecodable was written":   "UPDATE object_state SET state = 'x' WHERE zoid = 2",
		"the table was emptied, and restored": "CREATE TEMP TABLE kept AS TABLE object_state; TRUNCATE object_state CASCADE; INSERT INTO object_state TABLE kept",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStorage(t, garden())
			for statement := range strings.SplitSeq(spoil, "; ") {
				packtest.Run(t, s.conn, statement)
			}
			s.expect(t, map[int64]look.Verdict{1: look.Alive, 10: look.Unknown})
			// It may be refused, and then tells what was mended, or what can't be.
			program.Run(t, "pack", "--quiet", "--dry-run", "--dsn", s.dsn)
			want := look.Unreachable
			if name == "something undecodable was written" {
				want = look.Unknown
			}
			s.expect(t, map[int64]look.Verdict{1: look.Alive, 10: want})
		})
	}
}

func TestWhileTheGraphIsBeingChangedNothingIsSaid(t *testing.T) {
	t.Parallel()
	s := newStorage(t, garden())
	for spoil, says := range map[string]string{
		"UPDATE relpack.storage SET graph = 'marking'":                   "the graph is being changed",
		"UPDATE relpack.storage SET graph = 'reshaping'":                 "the graph is being changed",
		"UPDATE relpack.storage SET graph = 'none'":                      "the graph is not built yet",
		"INSERT INTO relpack.suspect (zoid, stage) VALUES (2, 'climb')":  "the graph is being changed",
		"UPDATE relpack.storage SET resettle = true":                     "the graph is being changed",
		"UPDATE relpack.storage SET graph = 'current', resettle = false": "",
	} {
		packtest.Run(t, s.conn, "UPDATE relpack.storage SET graph = 'current', resettle = false")
		packtest.Run(t, s.conn, "SELECT relpack.try_pack_lock()")
		packtest.Run(t, s.conn, "DELETE FROM relpack.suspect")
		packtest.Run(t, s.conn, spoil)
		_, err := s.try(t, 0, 2)
		if says == "" && err != nil || says != "" && (fault.ExitCode(err) != fault.ExitFailure || !strings.Contains(fault.Message(err), says)) {
			t.Errorf("%s: %v", spoil, err)
		}
	}
}

func TestATableThatABuildHasLockedIsNotWaitedForForLong(t *testing.T) {
	t.Parallel()
	s := newStorage(t, garden())
	packtest.Run(t, s.conn, "BEGIN")
	packtest.Run(t, s.conn, "LOCK TABLE relpack.object IN ACCESS EXCLUSIVE MODE")
	_, err := s.try(t, 0, 2)
	if fault.ExitCode(err) != fault.ExitFailure || !strings.Contains(fault.Message(err), "the graph is being changed") {
		t.Error(err)
	}
}

// The pack lock is another's, commits go on.
func TestItAsksBesideAPackAndAWriter(t *testing.T) {
	t.Parallel()
	s := newStorage(t, garden())
	packtest.Run(t, s.conn, "SELECT relpack.try_pack_lock()")
	writer, err := zodbtest.BeginCommit(t.Context(), s.conn, zodbtest.V42)
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Store(t.Context(), map[int64][]byte{2: record(10)}); err != nil {
		t.Fatal(err)
	}
	if err := writer.LockCommits(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Move(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	s.expect(t, map[int64]look.Verdict{2: look.Alive, 10: look.Unreachable})
	if err := writer.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.expect(t, map[int64]look.Verdict{10: look.Alive})
}
