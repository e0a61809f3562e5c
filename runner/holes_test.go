package runner

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/target"
	"relpack/runner/verify"
)

// newHole is a storage whose object 1 relpack knew and whose row vanished. Only
// it referred to 2, and 2 to 3; 4 is garbage that refers to it.
func newHole(t *testing.T) (target.Target, *pgx.Conn) {
	t.Helper()
	target, conn := newStorage(t)
	commit(t, conn, links{0: {1, 5}, 1: {2}, 2: {3}, 3: {}, 5: {}})
	packStorage(t, target, everything)
	commit(t, conn, links{4: {1}, 6: {}})
	commit(t, conn, links{5: {}}) // of the latest transaction something always stays
	run(t, conn, "DELETE FROM object_state WHERE zoid = 1")
	return target, conn
}

// expectMissing compares what relpack calls missing, and who refers to it.
func expectMissing(t *testing.T, conn *pgx.Conn, want string) {
	t.Helper()
	if got := get[string](t, conn, "SELECT coalesce(string_agg(format('%s from %s', zoid, inrefs), '; ' ORDER BY zoid), '') FROM relpack.missing_object"); got != want {
		t.Errorf("missing is %q, and should be %q", got, want)
	}
}

func accepting(zoids ...int64) pack.Options {
	o := everything
	o.AcceptMissing = zoids
	return o
}

func TestWhatHangsOnARowThatVanishedIsKept(t *testing.T) {
	t.Parallel()
	target, conn := newHole(t)
	report := packStorage(t, target, everything)
	expectStored(t, conn, 0, 2, 3, 5)
	expectMissing(t, conn, "1 from {0}")
	if report.Objects != 7-1 || report.Damage.MissingCount != 1 || report.Damage.Missing[0].Referrers[0] != 0 {
		t.Errorf("the report says %+v, of %d objects", report.Damage, report.Objects)
	}
	expectWords(t, strings.Join(report.Notes(), "\n"), "zoid 1 ", "(from 0)", "--accept-missing")
	expectWords(t, statusText(t, target), "zoid 1 ", "(from 0)")
	for range 2 {
		packStorage(t, target, everything)
	}
	expectStored(t, conn, 0, 2, 3, 5)
}

func TestARowPutBackHealsTheSite(t *testing.T) {
	t.Parallel()
	for name, back := range map[string]func(t *testing.T, conn *pgx.Conn){
		"with an old tid":        func(t *testing.T, conn *pgx.Conn) { restore(t, conn, 1, 5, document(2)) },
		"by a commit":            func(t *testing.T, conn *pgx.Conn) { commit(t, conn, links{1: {2}}) },
		"unseen by the triggers": func(t *testing.T, conn *pgx.Conn) { unnoticed(t, conn, restoreRow, 1, 7, document(2)) },
		"with the triggers off": func(t *testing.T, conn *pgx.Conn) {
			setTriggers(t, conn, "DISABLE")
			run(t, conn, restoreRow, 1, get[int64](t, conn, "SELECT tid FROM relpack.object WHERE zoid = 1"), document(2))
			setTriggers(t, conn, "ENABLE ALWAYS")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := newHole(t)
			packStorage(t, target, everything)
			back(t, conn)
			packStorage(t, target, everything)
			expectStored(t, conn, 0, 1, 2, 3, 5)
			expectMissing(t, conn, "")
			expectNothingDangles(t, conn)
			expectExact(t, conn)
			if found := expectSound(t, target); len(found) > 0 {
				t.Errorf("verify finds %v", found)
			}
		})
	}
}

func TestAHoleIsFoundWhereverTheRowVanishes(t *testing.T) {
	t.Parallel()
	for name, vanish := range map[string]func(t *testing.T, conn *pgx.Conn){
		"with the triggers off": func(t *testing.T, conn *pgx.Conn) {
			setTriggers(t, conn, "DISABLE")
			run(t, conn, "DELETE FROM object_state WHERE zoid = 2")
			setTriggers(t, conn, "ENABLE ALWAYS")
		},
		"in a reload": func(t *testing.T, conn *pgx.Conn) {
			run(t, conn, `CREATE TABLE dumped AS SELECT * FROM object_state WHERE zoid <> 2;
				TRUNCATE object_state CASCADE;
				INSERT INTO object_state SELECT * FROM dumped`)
		},
		"in a branch of the tree": func(t *testing.T, conn *pgx.Conn) {
			run(t, conn, "DELETE FROM object_state WHERE zoid IN (2, 3)")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := newStorage(t)
			commit(t, conn, links{0: {1}, 1: {2}, 2: {3}, 3: {4}, 4: {2}})
			packStorage(t, target, everything)
			vanish(t, conn)
			packStorage(t, target, everything)
			if !strings.Contains(name, "branch") {
				expectStored(t, conn, 0, 1, 3, 4)
			} else {
				expectStored(t, conn, 0, 1, 4)
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
				packStorage(t, target, everything)
			}
			commit(t, conn, links{0: {5}})
			packStorage(t, target, everything)
			expectStored(t, conn, 0, 5)
			expectMissing(t, conn, "")
			expectExact(t, conn)
		})
	}
}

func TestWhatIsGivenUpIsGarbageAndHasItsGrace(t *testing.T) {
	t.Parallel()
	target, conn := newHole(t)
	o := accepting(1)
	o.Days = 1
	packStorage(t, target, o)
	expectStored(t, conn, 0, 2, 3, 4, 5, 6)
	report := packStorage(t, target, everything)
	expectStored(t, conn, 0, 5)
	expectMissing(t, conn, "")
	// Who refers to it is told all the same.
	if d := report.Damage; d.DanglingCount != 1 || d.Dangling[0].Zoid != 1 {
		t.Errorf("the report says %+v", d)
	}
	packStorage(t, target, accepting(1)) // is missing no more
}

func TestADryRunGivesNothingUp(t *testing.T) {
	t.Parallel()
	target, conn := newHole(t)
	dryRun(t, target)
	o := accepting(1)
	o.DryRun = true
	_, err := pack.Run(t.Context(), target, o, testLog(t))
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
				dryRun(t, target)
			}
			o := everything
			o.Init = true
			_, err := pack.Run(t.Context(), target, o, testLog(t))
			if fault.ExitCode(err) != fault.ExitRefused {
				t.Fatalf("a pack with --init: %v", err)
			}
			expectStored(t, conn, 0, 2, 3, 4, 5, 6)
			packStorage(t, target, everything)
			expectStored(t, conn, 0, 2, 3, 5)
			o.AcceptMissing = []int64{1}
			packStorage(t, target, o)
			expectStored(t, conn, 0, 5)
			if report := packStorage(t, target, everything); report.Damage.DanglingCount != 1 {
				t.Errorf("a first build finds %+v", report.Damage)
			}
		})
	}
}

func TestAHoleThatCouldNotBeDecodedStillKeepsRelpackFromDeleting(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	commit(t, conn, links{0: {1}, 2: {}})
	commitRecords(t, conn, map[int64][]byte{1: zodbtest.Encrypted(document(2))})
	expectRefused(t, target)
	run(t, conn, "DELETE FROM object_state WHERE zoid = 1")
	expectRefused(t, target)
	packStorage(t, target, accepting(1))
	expectStored(t, conn, 0)
}

func TestTheFileOfAMissingBlobStaysUntilItIsGivenUp(t *testing.T) {
	t.Parallel()
	target, conn, tid := newAlbum(t, zodbtest.Bushy)
	dryRun(t, target)
	run(t, conn, "DELETE FROM object_state WHERE zoid = 2")
	report := packStorage(t, target, everything)
	expectBlob(t, target, zodbtest.Bushy, 2, tid, true)
	expectBlob(t, target, zodbtest.Bushy, 3, tid, false)
	if report.BlobFiles.Waiting != 0 {
		t.Errorf("%d blobs are said to wait for a directory", report.BlobFiles.Waiting)
	}
	packStorage(t, target, accepting(2))
	expectBlob(t, target, zodbtest.Bushy, 2, tid, false)
}

func TestAMissingObjectIsNamedByVerify(t *testing.T) {
	t.Parallel()
	target, conn := newHole(t)
	packStorage(t, target, everything)
	for _, repair := range []bool{false, true} {
		report, err := verify.Run(t.Context(), target, verifyOptions(repair), testLog(t))
		if fault.ExitCode(err) != fault.ExitRefused {
			t.Errorf("verify: %v", err)
		}
		if len(report.Findings) != 1 || report.Findings[0].Kind != "missing" || report.Findings[0].Severity != "damage" || !slices.Equal(report.Findings[0].Zoids, []int64{1}) {
			t.Errorf("findings: %v", report.Findings)
		}
	}
	if found := findings(t, conn); len(found) != 1 || !strings.Contains(found[0], "{1}") {
		t.Errorf("relpack.verify(): %q", found)
	}
	expectMissing(t, conn, "1 from {0}")
	path := lines(t, conn, "SELECT format('%s %s', zoid, missing) FROM relpack.path_to_root(3)")
	if got := strings.Join(path, ", "); got != "3 f, 2 f, 1 t, 0 f" {
		t.Errorf("the path of 3 is %s", got)
	}
}

func TestDanglingReferencesAreKeptUpToDate(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	commit(t, conn, links{0: {1, 90}, 1: {91}, 2: {92}})
	expect := func(want string, report *pack.Report) {
		t.Helper()
		got := get[string](t, conn, "SELECT coalesce(string_agg(format('%s from %s', zoid, inrefs), '; ' ORDER BY zoid), '') FROM relpack.dangling_reference")
		if got != want || int(report.Damage.DanglingCount) != strings.Count(want, "from") {
			t.Errorf("dangling is %q, %+v, and should be %q", got, report.Damage, want)
		}
	}
	report := dryRun(t, target)
	expect("90 from {0}; 91 from {1}", report)
	expectWords(t, strings.Join(report.Notes(), "\n"), "2 objects that are not stored", "zoid 90 (from 0)")
	commit(t, conn, links{0: {1, 2, 90, 93}, 93: {94}})
	expect("90 from {0}; 91 from {1}; 92 from {2}; 94 from {93}", dryRun(t, target))
	commit(t, conn, links{1: {}, 90: {94}})
	expect("92 from {2}; 94 from {90,93}", dryRun(t, target))
	commit(t, conn, links{0: {1, 90}})
	expect("94 from {90}", packStorage(t, target, everything))
	if _, err := verify.Run(t.Context(), target, verifyOptions(false), testLog(t)); fault.ExitCode(err) != fault.ExitRefused {
		t.Errorf("verify: %v", err)
	}
	commit(t, conn, links{94: {}})
	expect("", packStorage(t, target, everything))
	expectSound(t, target)
}

func TestARepairDoesNotClaimToHaveMendedDamage(t *testing.T) {
	t.Parallel()
	target, conn := newHole(t)
	packStorage(t, target, everything)
	run(t, conn, "UPDATE relpack.storage SET objects = objects + 1")
	report, err := verify.Run(t.Context(), target, verifyOptions(true), testLog(t))
	if fault.ExitCode(err) != fault.ExitRefused || !slices.Equal(kinds(report.Mended), []string{"objects_miscounted"}) ||
		!slices.Equal(kinds(report.Findings), []string{"missing"}) {
		t.Errorf("mended %v, findings %v, %v", report.Mended, report.Findings, err)
	}
	expectMissing(t, conn, "1 from {0}")
}
