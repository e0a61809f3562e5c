package verify_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/graph"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/verify"
)

// graphText is all of the graph, what is open included.
func graphText(t *testing.T, conn *pgx.Conn) string {
	t.Helper()
	var text strings.Builder
	for _, table := range []string{"object", "object_inref", "problem", "suspect", "doomed", "pending", "write_event", "storage", "run"} {
		text.WriteString(strings.Join(packtest.Lines(t, conn, "SELECT row::text FROM relpack."+table+" AS row ORDER BY 1"), "\n"))
	}
	return text.String()
}

// Of an object that the graph had lost, the first that refers to it is attached,
// but only to itself.
func TestWhatIsNewAndHangsOnWhatIsMendedIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.Commit(t, conn, packtest.Links{0: {1, 60}, 60: {50}, 50: {51}, 51: nil, 10: {11, 50}})
	packtest.DryRun(t, target)
	packtest.ExpectExact(t, conn)
	packtest.Spoil(t, conn, "DELETE FROM relpack.object WHERE zoid = 50")
	packtest.Run(t, conn, "UPDATE relpack.object SET parent = 10, detached_tid = NULL WHERE zoid = 10")
	if report, err := verify.Run(t.Context(), target, packtest.VerifyOptions(true), packtest.Log(t)); err != nil || report.Outcome != "mended" {
		t.Fatalf("repair: %s, %v, %v", report.Outcome, report.Findings, err)
	}
	packtest.ExpectExact(t, conn)
	want := packtest.Without(packtest.Stored(t, conn), packtest.Unreachable(t, conn))
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, want...)
}

func TestWhateverIsWrongWithAGraphIsFoundAndMended(t *testing.T) {
	t.Parallel()
	for name, c := range packtest.Spoilt {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewGarden(t)
			c.Spoil(t, conn)
			before := graphText(t, conn)
			report, err := verify.Run(t.Context(), target, packtest.VerifyOptions(false), packtest.Log(t))
			if fault.ExitCode(err) != fault.ExitRefused || report.Outcome != "errors" || !strings.Contains(fault.Message(err), "relpack verify --repair") {
				t.Fatalf("verify: %s, %v", report.Outcome, err)
			}
			expectFinding(t, report.Findings, c.Kind, c.Zoids)
			if after := graphText(t, conn); after != before {
				t.Errorf("it changed\n%s\nto\n%s", before, after)
			}
			report, err = verify.Run(t.Context(), target, packtest.VerifyOptions(true), packtest.Log(t))
			if err != nil || report.Outcome != "mended" || len(report.Findings) > 0 {
				t.Fatalf("repair: %s, %v, %v", report.Outcome, report.Findings, err)
			}
			expectFinding(t, report.Mended, c.Kind, c.Zoids)
			packtest.ExpectExact(t, conn)
			if found := packtest.Findings(t, conn); len(found) > 0 {
				t.Errorf("relpack.verify(): %q", found)
			}
			want := packtest.Without(packtest.Stored(t, conn), packtest.Unreachable(t, conn))
			packtest.Pack(t, target, packtest.Everything)
			packtest.ExpectStored(t, conn, want...)
			if notes := packtest.ExpectSound(t, target); len(notes) > 0 {
				t.Errorf("notes: %q", notes)
			}
		})
	}
}

func expectFinding(t *testing.T, found []graph.Finding, kind string, zoids []int64) {
	t.Helper()
	i := slices.IndexFunc(found, func(f graph.Finding) bool { return f.Kind == kind })
	switch {
	case i < 0:
		t.Errorf("found %v, not %q", found, kind)
	case found[i].Severity != "error" || found[i].Meaning == "" || found[i].Remedy != "relpack verify --repair":
		t.Errorf("finding %+v", found[i])
	case zoids != nil && (!slices.Equal(found[i].Zoids, zoids) || found[i].Objects != int64(len(zoids))):
		t.Errorf("%s of %v (%d), want %v", kind, found[i].Zoids, found[i].Objects, zoids)
	}
}

func TestTheGraceOfWhatARepairDetachesBeginsWithIt(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	// Last changed, and the storage's last commit, two days ago.
	packtest.Run(t, conn, "UPDATE relpack.object SET parent = 11 WHERE zoid = 13")
	report, err := verify.Run(t.Context(), target, packtest.VerifyOptions(true), packtest.Log(t))
	if err != nil || report.Outcome != "mended" {
		t.Fatalf("verify: %s, %v", report.Outcome, err)
	}
	packtest.PackWithGrace(t, target, 1)
	packtest.ExpectStored(t, conn, 0, 1, 2, 13)
	packtest.PackWithGrace(t, target, 0)
	packtest.ExpectStored(t, conn, 0, 1, 2)
}

func TestASoundGraphIsFoundSound(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.LoadSmall(t, conn, "")
	packtest.DryRun(t, target)
	report, err := verify.Run(t.Context(), target, packtest.VerifyOptions(true), packtest.Log(t))
	if err != nil || report.Outcome != "sound" || report.Scanned.Objects != 4793 || report.Objects != 4793 || report.References != 9560 {
		t.Errorf("%+v, %v", report, err)
	}
	// Odd and opaque records, NULL states, self references, what dangles.
	packtest.CommitRecords(t, conn, map[int64][]byte{
		900_001: zodbtest.Odd(zodbtest.Class{Module: "zmodels", Name: "x" + string(zodbtest.Oid(12))}, 10, 900_001),
		900_002: packtest.Opaque["truncated"], 900_003: nil, 900_004: {}, 900_005: packtest.Document(900_005, 1, 1),
		900_006: zodbtest.WeakRecord(zodbtest.Document, 3),
	})
	packtest.DryRun(t, target)
	packtest.ExpectSound(t, target)
	packtest.Commit(t, conn, packtest.Links{0: {1, 4, 800_001, 800_002}})
	packtest.DryRun(t, target)
	report, err = verify.Run(t.Context(), target, packtest.VerifyOptions(true), packtest.Log(t))
	if found := packtest.Kinds(report.Findings); fault.ExitCode(err) != fault.ExitRefused || !slices.Equal(found, []string{"dangling"}) || len(report.Mended) > 0 {
		t.Errorf("findings: %q, mended %q, %v", found, report.Mended, err)
	}
}

func TestManyDifferencesAreCountedAndTheFirstTenNamed(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewOrchard(t)
	packtest.DryRun(t, target)
	packtest.Unnoticed(t, conn, "UPDATE object_state SET state = $1 WHERE zoid BETWEEN 3 AND 78", packtest.OrchardRecord(0))
	report, err := verify.Run(t.Context(), target, packtest.VerifyOptions(false), packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "the stored states do not refer to what is recorded: 76 (zoid 3 4 5 6 7 8 9 10 11 12 ...)")
	if len(report.Findings) != 1 || report.Findings[0].Objects != 76 {
		t.Errorf("found %v", report.Findings)
	}
	var text strings.Builder
	if err := report.Write(&text); err != nil {
		t.Fatal(err)
	}
	packtest.ExpectWords(t, text.String(), "scanned", "160 objects", "errors", "76 (zoid 3 4", "peak memory")
}

// duringVerify acts once, after so many ranges.
func duringVerify(ranges int, act func()) verify.Options {
	o := packtest.VerifyOptions(false)
	read := 0
	o.Progress = &packtest.Hooks{OnAdd: func(name string, _ int64) {
		if read++; name == "verify" && read == ranges {
			act()
		}
	}}
	return o
}

func TestWhatTheSiteChangesMeanwhileIsNoFalseAlarm(t *testing.T) {
	t.Parallel()
	for _, after := range []int{1, 10, 25} {
		t.Run(fmt.Sprintf("after %d ranges", after), func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewOrchard(t)
			packtest.DryRun(t, target)
			// Some of it before it begins, for which no pack has come yet.
			change := func(round int64) {
				packtest.CommitRecords(t, conn, map[int64][]byte{5: packtest.OrchardRecord(6), 40 + round: packtest.OrchardRecord(200 + round), 700 + round: packtest.OrchardRecord(70)})
				packtest.Restore(t, conn, 70+round, 5, packtest.OrchardRecord(210))
				packtest.Restore(t, conn, 600+round, 5, packtest.OrchardRecord(70))
				packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid IN ($1, $2)", 250+round, 260-round)
				packtest.Run(t, conn, "UPDATE object_state SET state = $2 WHERE zoid = $1", 20+round, packtest.OrchardRecord(1))
			}
			change(1)
			report, err := verify.Run(t.Context(), target, duringVerify(after, func() { change(2) }), packtest.Log(t))
			if err != nil || len(report.Findings) > 0 {
				t.Errorf("found %v, %v", report.Findings, err)
			}
			packtest.DryRun(t, target)
			packtest.ExpectExact(t, conn)
			packtest.ExpectSound(t, target)
		})
	}
}

func TestATruncateMeanwhileIsNoFalseAlarm(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewOrchard(t)
	packtest.DryRun(t, target)
	packtest.Run(t, conn, "TRUNCATE object_state CASCADE")
	packtest.Restore(t, conn, 0, 5, packtest.Document(1))
	if report, err := verify.Run(t.Context(), target, packtest.VerifyOptions(false), packtest.Log(t)); err != nil {
		t.Errorf("found %v, %v", report.Findings, err)
	}
}

func TestATableRewrittenMeanwhileIsReadAgain(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewOrchard(t)
	packtest.DryRun(t, target)
	packtest.Unnoticed(t, conn, packtest.Rewrite, 79, packtest.OrchardRecord(200))
	report, err := verify.Run(t.Context(), target, duringVerify(5, func() {
		packtest.Run(t, packtest.Session(t, target), "VACUUM FULL object_state")
	}), packtest.Log(t))
	if fault.ExitCode(err) != fault.ExitRefused || report.Scanned.Objects <= 160 {
		t.Errorf("%v, %d states read", err, report.Scanned.Objects)
	}
	expectFinding(t, report.Findings, "other_references", []int64{79})
}

// Rows that move while a first build reads are read by the capture that follows.
func TestARootThatIsStillToBeReadIsNotLost(t *testing.T) {
	t.Parallel()
	_, conn := packtest.NewGarden(t)
	packtest.Run(t, conn, "SELECT relpack.try_pack_lock()")
	for _, step := range []string{"SELECT relpack.build_reset()", "SELECT relpack.build_begin(1)", "DELETE FROM relpack.scan_range", "UPDATE relpack.storage SET scan_disturbed = true"} {
		packtest.Run(t, conn, step)
	}
	for step := new(string); step != nil; {
		step = packtest.Get[*string](t, conn, "SELECT step FROM relpack.build_step()")
	}
	if found := packtest.Lines(t, conn, "SELECT finding FROM relpack.verify() WHERE severity = 'error'"); len(found) > 0 {
		t.Errorf("verify finds %v", found)
	}
	packtest.Run(t, conn, "SELECT relpack.release_pack_lock()")
}

// What was written since the last pack is left to the next one: a verification must not
// seem to have judged it.
func TestVerifySaysWhatItDidNotJudge(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.Commit(t, conn, packtest.Links{0: {1, 2}, 1: nil, 2: nil})
	packtest.DryRun(t, target)
	says := func(count int64, words ...string) {
		t.Helper()
		report, err := verify.Run(t.Context(), target, packtest.VerifyOptions(false), packtest.Log(t))
		var text strings.Builder
		if err := errors.Join(err, report.Write(&text)); err != nil {
			t.Fatal(err)
		}
		if report.NotJudged != count || report.Outcome != "sound" || strings.Contains(text.String(), "not judged") != (count > 0) {
			t.Errorf("%d: %+v\n%s", count, report, text.String())
		}
		packtest.ExpectWords(t, text.String(), words...)
	}
	says(0)
	packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid = 1")
	says(1, "1 object was written or deleted since the last pack", "relpack check")
	packtest.Commit(t, conn, packtest.Links{2: nil})
	says(2, "2 objects were written or deleted")
	packtest.Run(t, conn, "TRUNCATE object_state CASCADE")
	packtest.Commit(t, conn, packtest.Links{0: {1, 2}})
	says(3, "3 objects were")
}
