package graph_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
	"relpack/runner/verify"
)

// newHole is a storage whose object 1 relpack knew and whose row vanished. Only
// it referred to 2, and 2 to 3; 4 is garbage that refers to it.
func newHole(t *testing.T) (target.Target, *pgx.Conn) {
	t.Helper()
	target, conn := packtest.NewStorage(t)
	packtest.Commit(t, conn, packtest.Links{0: {1, 5}, 1: {2}, 2: {3}, 3: {}, 5: {}})
	packtest.Pack(t, target, packtest.Everything)
	packtest.Commit(t, conn, packtest.Links{4: {1}, 6: {}})
	packtest.Commit(t, conn, packtest.Links{5: {}}) // of the latest transaction something always stays
	packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid = 1")
	return target, conn
}

// expectMissing compares what relpack calls missing, and who refers to it.
func expectMissing(t *testing.T, conn *pgx.Conn, want string) {
	t.Helper()
	if got := packtest.Get[string](t, conn, "SELECT coalesce(string_agg(format('%s from %s', zoid, inrefs), '; ' ORDER BY zoid), '') FROM relpack.missing_object"); got != want {
		t.Errorf("missing is %q, and should be %q", got, want)
	}
}

func accepting(zoids ...int64) pack.Options {
	o := packtest.Everything
	o.AcceptMissing = zoids
	return o
}

func TestWhatHangsOnARowThatVanishedIsKept(t *testing.T) {
	t.Parallel()
	target, conn := newHole(t)
	report := packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 2, 3, 5)
	expectMissing(t, conn, "1 from {0}")
	if report.Objects != 7-1 || report.Damage.MissingCount != 1 || report.Damage.Missing[0].Referrers[0] != 0 {
		t.Errorf("the report says %+v, of %d objects", report.Damage, report.Objects)
	}
	packtest.ExpectWords(t, strings.Join(report.Notes(), "\n"), "zoid 1 ", "(from 0)", "--accept-missing")
	packtest.ExpectWords(t, packtest.Status(t, target), "zoid 1 ", "(from 0)")
	for range 2 {
		packtest.Pack(t, target, packtest.Everything)
	}
	packtest.ExpectStored(t, conn, 0, 2, 3, 5)
}

func TestARowPutBackHealsTheSite(t *testing.T) {
	t.Parallel()
	for name, back := range map[string]func(t *testing.T, conn *pgx.Conn){
		"with an old tid": func(t *testing.T, conn *pgx.Conn) { packtest.Restore(t, conn, 1, 5, packtest.Document(2)) },
		"by a commit":     func(t *testing.T, conn *pgx.Conn) { packtest.Commit(t, conn, packtest.Links{1: {2}}) },
		"unseen by the triggers": func(t *testing.T, conn *pgx.Conn) {
			packtest.Unnoticed(t, conn, packtest.RestoreRow, 1, 7, packtest.Document(2))
		},
		"with the triggers off": func(t *testing.T, conn *pgx.Conn) {
			packtest.SetTriggers(t, conn, "DISABLE")
			packtest.Run(t, conn, packtest.RestoreRow, 1, packtest.Get[int64](t, conn, "SELECT tid FROM relpack.object WHERE zoid = 1"), packtest.Document(2))
			packtest.SetTriggers(t, conn, "ENABLE ALWAYS")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := newHole(t)
			packtest.Pack(t, target, packtest.Everything)
			back(t, conn)
			packtest.Pack(t, target, packtest.Everything)
			packtest.ExpectStored(t, conn, 0, 1, 2, 3, 5)
			expectMissing(t, conn, "")
			packtest.ExpectNothingDangles(t, conn)
			packtest.ExpectExact(t, conn)
			if found := packtest.ExpectSound(t, target); len(found) > 0 {
				t.Errorf("verify finds %v", found)
			}
		})
	}
}

func TestAHoleIsFoundWhereverTheRowVanishes(t *testing.T) {
	t.Parallel()
	for name, vanish := range map[string]func(t *testing.T, conn *pgx.Conn){
		"with the triggers off": func(t *testing.T, conn *pgx.Conn) {
			packtest.SetTriggers(t, conn, "DISABLE")
			packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid = 2")
			packtest.SetTriggers(t, conn, "ENABLE ALWAYS")
		},
		"in a reload": func(t *testing.T, conn *pgx.Conn) {
			packtest.Run(t, conn, `CREATE TABLE dumped AS SELECT * FROM object_state WHERE zoid <> 2;
				TRUNCATE object_state CASCADE;
				INSERT INTO object_state SELECT * FROM dumped`)
		},
		"in a branch of the tree": func(t *testing.T, conn *pgx.Conn) {
			packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid IN (2, 3)")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewStorage(t)
			packtest.Commit(t, conn, packtest.Links{0: {1}, 1: {2}, 2: {3}, 3: {4}, 4: {2}})
			packtest.Pack(t, target, packtest.Everything)
			vanish(t, conn)
			packtest.Pack(t, target, packtest.Everything)
			if !strings.Contains(name, "branch") {
				packtest.ExpectStored(t, conn, 0, 1, 3, 4)
			} else {
				packtest.ExpectStored(t, conn, 0, 1, 4)
			}
			expectMissing(t, conn, "2 from {1,4}")
		})
	}
}

func TestAHoleThatNothingLiveRefersToLeaves(t *testing.T) {
	t.Parallel()
	for name, alsoBefore := range map[string]bool{"cut off later": true, "cut off meanwhile": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := newHole(t)
			if alsoBefore {
				packtest.Pack(t, target, packtest.Everything)
			}
			packtest.Commit(t, conn, packtest.Links{0: {5}})
			packtest.Pack(t, target, packtest.Everything)
			packtest.ExpectStored(t, conn, 0, 5)
			expectMissing(t, conn, "")
			packtest.ExpectExact(t, conn)
		})
	}
}

func TestWhatIsGivenUpIsGarbageAndHasItsGrace(t *testing.T) {
	t.Parallel()
	target, conn := newHole(t)
	o := accepting(1)
	o.Days = 1
	packtest.Pack(t, target, o)
	packtest.ExpectStored(t, conn, 0, 2, 3, 4, 5, 6)
	report := packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 5)
	expectMissing(t, conn, "")
	// Who refers to it is told all the same.
	if d := report.Damage; d.DanglingCount != 1 || d.Dangling[0].Zoid != 1 {
		t.Errorf("the report says %+v", d)
	}
	packtest.Pack(t, target, accepting(1)) // is missing no more
}

func TestADryRunGivesNothingUp(t *testing.T) {
	t.Parallel()
	target, conn := newHole(t)
	packtest.DryRun(t, target)
	o := accepting(1)
	o.DryRun = true
	_, err := pack.Run(t.Context(), target, o, packtest.Log(t))
	if fault.ExitCode(err) != fault.ExitRefused {
		t.Errorf("got %v", err)
	}
	expectMissing(t, conn, "1 from {0}")
}

func TestNoGraphIsBuiltAnewOverAHole(t *testing.T) {
	t.Parallel()
	for name, looked := range map[string]bool{"known to relpack": true, "not looked at": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := newHole(t)
			if looked {
				packtest.DryRun(t, target)
			}
			o := packtest.Everything
			o.Init = true
			_, err := pack.Run(t.Context(), target, o, packtest.Log(t))
			if fault.ExitCode(err) != fault.ExitRefused {
				t.Fatalf("a pack with --init: %v", err)
			}
			packtest.ExpectStored(t, conn, 0, 2, 3, 4, 5, 6)
			packtest.Pack(t, target, packtest.Everything)
			packtest.ExpectStored(t, conn, 0, 2, 3, 5)
			o.AcceptMissing = []int64{1}
			packtest.Pack(t, target, o)
			packtest.ExpectStored(t, conn, 0, 5)
			if report := packtest.Pack(t, target, packtest.Everything); report.Damage.DanglingCount != 1 {
				t.Errorf("a first build finds %+v", report.Damage)
			}
		})
	}
}

func TestAHoleThatCouldNotBeDecodedStillKeepsRelpackFromDeleting(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.Commit(t, conn, packtest.Links{0: {1}, 2: {}})
	packtest.CommitRecords(t, conn, map[int64][]byte{1: zodbtest.Encrypted(packtest.Document(2))})
	packtest.ExpectNothingDeleted(t, target)
	packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid = 1")
	packtest.ExpectNothingDeleted(t, target)
	packtest.Pack(t, target, accepting(1))
	packtest.ExpectStored(t, conn, 0)
}

func TestTheFileOfAMissingBlobStaysUntilItIsGivenUp(t *testing.T) {
	t.Parallel()
	target, conn, tid := packtest.NewAlbum(t, zodbtest.Bushy)
	packtest.DryRun(t, target)
	packtest.Run(t, conn, "DELETE FROM object_state WHERE zoid = 2")
	report := packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectBlob(t, target, zodbtest.Bushy, 2, tid, true)
	packtest.ExpectBlob(t, target, zodbtest.Bushy, 3, tid, false)
	if report.BlobFiles.Waiting != 0 {
		t.Errorf("%d blobs are said to wait for a directory", report.BlobFiles.Waiting)
	}
	packtest.Pack(t, target, accepting(2))
	packtest.ExpectBlob(t, target, zodbtest.Bushy, 2, tid, false)
}

func TestAMissingObjectIsNamedByVerify(t *testing.T) {
	t.Parallel()
	target, conn := newHole(t)
	packtest.Pack(t, target, packtest.Everything)
	for _, repair := range []bool{false, true} {
		report, err := verify.Run(t.Context(), target, packtest.VerifyOptions(repair), packtest.Log(t))
		if fault.ExitCode(err) != fault.ExitRefused {
			t.Errorf("verify: %v", err)
		}
		if len(report.Findings) != 1 || report.Findings[0].Kind != "missing" || report.Findings[0].Severity != "damage" || !slices.Equal(report.Findings[0].Zoids, []int64{1}) {
			t.Errorf("findings: %v", report.Findings)
		}
	}
	if found := packtest.Findings(t, conn); len(found) != 1 || !strings.Contains(found[0], "{1}") {
		t.Errorf("relpack.verify(): %q", found)
	}
	expectMissing(t, conn, "1 from {0}")
	path := packtest.Lines(t, conn, "SELECT format('%s %s', zoid, missing) FROM relpack.path_to_root(3)")
	if got := strings.Join(path, ", "); got != "3 f, 2 f, 1 t, 0 f" {
		t.Errorf("the path of 3 is %s", got)
	}
}

func TestDanglingReferencesAreKeptUpToDate(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.Commit(t, conn, packtest.Links{0: {1, 90}, 1: {91}, 2: {92}})
	expect := func(want string, report *pack.Report) {
		t.Helper()
		got := packtest.Get[string](t, conn, "SELECT coalesce(string_agg(format('%s from %s', zoid, inrefs), '; ' ORDER BY zoid), '') FROM relpack.dangling_reference")
		if got != want || int(report.Damage.DanglingCount) != strings.Count(want, "from") {
			t.Errorf("dangling is %q, %+v, and should be %q", got, report.Damage, want)
		}
	}
	report := packtest.DryRun(t, target)
	expect("90 from {0}; 91 from {1}", report)
	packtest.ExpectWords(t, strings.Join(report.Notes(), "\n"), "2 objects that are not stored", "zoid 90 (from 0)")
	packtest.Commit(t, conn, packtest.Links{0: {1, 2, 90, 93}, 93: {94}})
	expect("90 from {0}; 91 from {1}; 92 from {2}; 94 from {93}", packtest.DryRun(t, target))
	packtest.Commit(t, conn, packtest.Links{1: {}, 90: {94}})
	expect("92 from {2}; 94 from {90,93}", packtest.DryRun(t, target))
	packtest.Commit(t, conn, packtest.Links{0: {1, 90}})
	expect("94 from {90}", packtest.Pack(t, target, packtest.Everything))
	if _, err := verify.Run(t.Context(), target, packtest.VerifyOptions(false), packtest.Log(t)); fault.ExitCode(err) != fault.ExitRefused {
		t.Errorf("verify: %v", err)
	}
	packtest.Commit(t, conn, packtest.Links{94: {}})
	expect("", packtest.Pack(t, target, packtest.Everything))
	packtest.ExpectSound(t, target)
}

func TestARepairDoesNotClaimToHaveMendedDamage(t *testing.T) {
	t.Parallel()
	target, conn := newHole(t)
	packtest.Pack(t, target, packtest.Everything)
	packtest.Run(t, conn, "UPDATE relpack.storage SET objects = objects + 1")
	report, err := verify.Run(t.Context(), target, packtest.VerifyOptions(true), packtest.Log(t))
	if fault.ExitCode(err) != fault.ExitRefused || !slices.Equal(packtest.Kinds(report.Mended), []string{"objects_miscounted"}) ||
		!slices.Equal(packtest.Kinds(report.Findings), []string{"missing"}) {
		t.Errorf("mended %v, findings %v, %v", report.Mended, report.Findings, err)
	}
	expectMissing(t, conn, "1 from {0}")
}
