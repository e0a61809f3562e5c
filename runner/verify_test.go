package runner

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/graph"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/target"
	"relpack/runner/verify"
)

func verifyOptions(repair bool) verify.Options {
	return verify.Options{Repair: repair, Version: "test", Migrations: migrations.Files, RangeBlocks: 2}
}

// expectSound wants a verification that finds no error; it returns the notes.
func expectSound(t *testing.T, target target.Target) []string {
	t.Helper()
	report, err := verify.Run(t.Context(), target, verifyOptions(false), testLog(t))
	if err != nil || report.Outcome != "sound" || report.ExitCode != fault.ExitDone {
		t.Errorf("verify: %s, %v", report.Outcome, err)
	}
	return kinds(report.Findings)
}

func kinds(found []graph.Finding) []string {
	names := []string{}
	for _, f := range found {
		names = append(names, f.Kind)
	}
	slices.Sort(names)
	return names
}

// unnoticed executes SQL as if relpack's triggers had never been there, and
// leaves no trace of it: nothing but reading the states again can tell.
func unnoticed(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	setTriggers(t, conn, "DISABLE")
	run(t, conn, sql, args...)
	setTriggers(t, conn, "ENABLE ALWAYS")
	run(t, conn, "UPDATE relpack.storage SET trigger_identity = relpack.trigger_identity()")
}

// graphText is all of the graph, what is open included.
func graphText(t *testing.T, conn *pgx.Conn) string {
	t.Helper()
	var text strings.Builder
	for _, table := range []string{"object", "object_inref", "problem", "suspect", "doomed", "pending", "write_event", "storage", "run"} {
		text.WriteString(strings.Join(lines(t, conn, "SELECT row::text FROM relpack."+table+" AS row ORDER BY 1"), "\n"))
	}
	return text.String()
}

func document(refs ...int64) []byte { return zodbtest.Record(zodbtest.Document, refs...) }

const rewrite = "UPDATE object_state SET state = $2, state_size = length($2::bytea) WHERE zoid = $1"

// spoilt are ways in which a graph can be wrong, and what names them.
var spoilt = map[string]struct {
	kind  string
	zoids []int64
	spoil func(t *testing.T, conn *pgx.Conn)
}{
	"a state rewritten with its old tid": {"other_references", []int64{2}, func(t *testing.T, conn *pgx.Conn) {
		unnoticed(t, conn, rewrite, 2, document(11))
	}},
	"a state rewritten to refer to less": {"other_references", []int64{1}, func(t *testing.T, conn *pgx.Conn) {
		unnoticed(t, conn, rewrite, 1, document())
	}},
	"a state of another class": {"other_class", []int64{2}, func(t *testing.T, conn *pgx.Conn) {
		unnoticed(t, conn, rewrite, 2, zodbtest.Record(zodbtest.Blob))
	}},
	"a problem where there is none": {"other_problem", []int64{2}, func(t *testing.T, conn *pgx.Conn) {
		run(t, conn, "INSERT INTO relpack.problem VALUES (2, true, 'opaque', 'x')")
	}},
	"another tid": {"other_than_stored", []int64{2}, func(t *testing.T, conn *pgx.Conn) {
		unnoticed(t, conn, restoreRow, 2, 5, document(10))
	}},
	"a row more": {"other_than_stored", []int64{30}, func(t *testing.T, conn *pgx.Conn) {
		unnoticed(t, conn, restoreRow, 30, 5, document(10))
	}},
	"a row less": {"other_than_stored", []int64{12}, func(t *testing.T, conn *pgx.Conn) {
		unnoticed(t, conn, "DELETE FROM object_state WHERE zoid = 12")
	}},
	"a node lost": {"other_than_stored", []int64{1}, func(t *testing.T, conn *pgx.Conn) {
		spoil(t, conn, "DELETE FROM relpack.object WHERE zoid = 1")
	}},
	"the root lost": {"no_root", []int64{0}, func(t *testing.T, conn *pgx.Conn) {
		spoil(t, conn, "DELETE FROM relpack.object WHERE zoid = 0")
	}},
	"the root detached": {"no_root", []int64{0}, func(t *testing.T, conn *pgx.Conn) {
		run(t, conn, "UPDATE relpack.object SET parent = NULL WHERE zoid = 0")
	}},
	"a reference lost": {"other_references", []int64{11}, func(t *testing.T, conn *pgx.Conn) {
		spoil(t, conn, "DELETE FROM relpack.object_inref WHERE zoid = 12 AND inref = 11")
	}},
	"a reference to a parent lost": {"parent_without_reference", []int64{2}, func(t *testing.T, conn *pgx.Conn) {
		spoil(t, conn, "DELETE FROM relpack.object_inref WHERE zoid = 2 AND inref = 1")
	}},
	"a reference that nobody stored": {"other_references", []int64{2}, func(t *testing.T, conn *pgx.Conn) {
		run(t, conn, "INSERT INTO relpack.object_inref VALUES (11, 2)")
	}},
	"all references lost": {"references_miscounted", nil, func(t *testing.T, conn *pgx.Conn) {
		spoil(t, conn, "DELETE FROM relpack.object_inref")
	}},
	"all nodes lost": {"objects_miscounted", nil, func(t *testing.T, conn *pgx.Conn) {
		spoil(t, conn, "DELETE FROM relpack.object")
	}},
	"references of an unknown object": {"referrer_is_no_node", []int64{77}, func(t *testing.T, conn *pgx.Conn) {
		run(t, conn, "INSERT INTO relpack.object_inref VALUES (2, 77), (11, 77)")
	}},
	"a live object detached": {"live_but_detached", []int64{2}, func(t *testing.T, conn *pgx.Conn) {
		run(t, conn, "UPDATE relpack.object SET parent = NULL, detached_tid = 5 WHERE zoid = 2")
	}},
	"a live object detached above others": {"parent_detached", []int64{2}, func(t *testing.T, conn *pgx.Conn) {
		run(t, conn, "UPDATE relpack.object SET parent = NULL, detached_tid = 5 WHERE zoid = 1")
	}},
	"garbage that hangs on itself": {"parents_in_a_circle", []int64{10, 11, 12}, func(t *testing.T, conn *pgx.Conn) {
		run(t, conn, "UPDATE relpack.object SET parent = CASE zoid WHEN 10 THEN 12 WHEN 11 THEN 10 ELSE 11 END, detached_tid = NULL WHERE zoid IN (10, 11, 12)")
	}},
	"a live object that counts as cut off": {"attached_with_detached_tid", []int64{1}, func(t *testing.T, conn *pgx.Conn) {
		run(t, conn, "UPDATE relpack.object SET detached_tid = 5 WHERE zoid = 1")
	}},
	"work for what is not there": {"work_for_no_node", []int64{55, 66}, func(t *testing.T, conn *pgx.Conn) {
		run(t, conn, "INSERT INTO relpack.doomed VALUES (55); INSERT INTO relpack.problem VALUES (66, true, 'opaque', 'x')")
	}},
	"a live object chosen for deletion": {"live_but_doomed", []int64{2}, func(t *testing.T, conn *pgx.Conn) {
		run(t, conn, "INSERT INTO relpack.doomed VALUES (2)")
	}},
}

// Of an object that the graph had lost, the first that refers to it is attached,
// but only to itself.
func TestWhatIsNewAndHangsOnWhatIsMendedIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	commit(t, conn, links{0: {1, 60}, 60: {50}, 50: {51}, 51: nil, 10: {11, 50}})
	dryRun(t, target)
	expectExact(t, conn)
	spoil(t, conn, "DELETE FROM relpack.object WHERE zoid = 50")
	run(t, conn, "UPDATE relpack.object SET parent = 10, detached_tid = NULL WHERE zoid = 10")
	if report, err := verify.Run(t.Context(), target, verifyOptions(true), testLog(t)); err != nil || report.Outcome != "mended" {
		t.Fatalf("repair: %s, %v, %v", report.Outcome, report.Findings, err)
	}
	expectExact(t, conn)
	want := without(stored(t, conn), unreachable(t, conn))
	packStorage(t, target, everything)
	expectStored(t, conn, want...)
}

func TestWhateverIsWrongWithAGraphIsFoundAndMended(t *testing.T) {
	t.Parallel()
	for name, c := range spoilt {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := newGarden(t)
			c.spoil(t, conn)
			before := graphText(t, conn)
			report, err := verify.Run(t.Context(), target, verifyOptions(false), testLog(t))
			if fault.ExitCode(err) != fault.ExitRefused || report.Outcome != "errors" || !strings.Contains(fault.Message(err), "relpack verify --repair") {
				t.Fatalf("verify: %s, %v", report.Outcome, err)
			}
			expectFinding(t, report.Findings, c.kind, c.zoids)
			if after := graphText(t, conn); after != before {
				t.Errorf("it changed\n%s\nto\n%s", before, after)
			}
			report, err = verify.Run(t.Context(), target, verifyOptions(true), testLog(t))
			if err != nil || report.Outcome != "mended" || len(report.Findings) > 0 {
				t.Fatalf("repair: %s, %v, %v", report.Outcome, report.Findings, err)
			}
			expectFinding(t, report.Mended, c.kind, c.zoids)
			expectExact(t, conn)
			if found := findings(t, conn); len(found) > 0 {
				t.Errorf("relpack.verify(): %q", found)
			}
			want := without(stored(t, conn), unreachable(t, conn))
			packStorage(t, target, everything)
			expectStored(t, conn, want...)
			if notes := expectSound(t, target); len(notes) > 0 {
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
	target, conn := newGarden(t)
	// Last changed, and the storage's last commit, two days ago.
	run(t, conn, "UPDATE relpack.object SET parent = 11 WHERE zoid = 13")
	report, err := verify.Run(t.Context(), target, verifyOptions(true), testLog(t))
	if err != nil || report.Outcome != "mended" {
		t.Fatalf("verify: %s, %v", report.Outcome, err)
	}
	withGrace(t, target, 1)
	expectStored(t, conn, 0, 1, 2, 13)
	withGrace(t, target, 0)
	expectStored(t, conn, 0, 1, 2)
}

func TestASoundGraphIsFoundSound(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	loadSmall(t, conn, "")
	dryRun(t, target)
	report, err := verify.Run(t.Context(), target, verifyOptions(true), testLog(t))
	if err != nil || report.Outcome != "sound" || report.Scanned.Objects != 4793 || report.Objects != 4793 || report.References != 9560 {
		t.Errorf("%+v, %v", report, err)
	}
	// Odd and opaque records, NULL states, self references, what dangles.
	commitRecords(t, conn, map[int64][]byte{
		900_001: zodbtest.Odd(zodbtest.Class{Module: "zmodels", Name: "x" + string(zodbtest.Oid(12))}, 10, 900_001),
		900_002: opaque["truncated"], 900_003: nil, 900_004: {}, 900_005: document(900_005, 1, 1),
		900_006: zodbtest.WeakRecord(zodbtest.Document, 3),
	})
	dryRun(t, target)
	expectSound(t, target)
	commit(t, conn, links{0: {1, 4, 800_001, 800_002}})
	dryRun(t, target)
	report, err = verify.Run(t.Context(), target, verifyOptions(true), testLog(t))
	if found := kinds(report.Findings); fault.ExitCode(err) != fault.ExitRefused || !slices.Equal(found, []string{"dangling"}) || len(report.Mended) > 0 {
		t.Errorf("findings: %q, mended %q, %v", found, report.Mended, err)
	}
}

func TestManyDifferencesAreCountedAndTheFirstTenNamed(t *testing.T) {
	t.Parallel()
	target, conn := newOrchard(t)
	dryRun(t, target)
	unnoticed(t, conn, "UPDATE object_state SET state = $1 WHERE zoid BETWEEN 3 AND 78", orchardRecord(0))
	report, err := verify.Run(t.Context(), target, verifyOptions(false), testLog(t))
	expectError(t, err, fault.ExitRefused, "the stored states do not refer to what is recorded: 76 (zoid 3 4 5 6 7 8 9 10 11 12 ...)")
	if len(report.Findings) != 1 || report.Findings[0].Objects != 76 {
		t.Errorf("found %v", report.Findings)
	}
	var text strings.Builder
	if err := report.Write(&text); err != nil {
		t.Fatal(err)
	}
	expectWords(t, text.String(), "scanned", "160 objects", "errors", "76 (zoid 3 4", "peak memory")
}

// duringVerify acts once, after so many ranges.
func duringVerify(ranges int, act func()) verify.Options {
	o := verifyOptions(false)
	read := 0
	o.Progress = &hooks{add: func(name string, _ int64) {
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
			target, conn := newOrchard(t)
			dryRun(t, target)
			// Some of it before it begins, for which no pack has come yet.
			change := func(round int64) {
				commitRecords(t, conn, map[int64][]byte{5: orchardRecord(6), 40 + round: orchardRecord(200 + round), 700 + round: orchardRecord(70)})
				restore(t, conn, 70+round, 5, orchardRecord(210))
				restore(t, conn, 600+round, 5, orchardRecord(70))
				run(t, conn, "DELETE FROM object_state WHERE zoid IN ($1, $2)", 250+round, 260-round)
				run(t, conn, "UPDATE object_state SET state = $2 WHERE zoid = $1", 20+round, orchardRecord(1))
			}
			change(1)
			report, err := verify.Run(t.Context(), target, duringVerify(after, func() { change(2) }), testLog(t))
			if err != nil || len(report.Findings) > 0 {
				t.Errorf("found %v, %v", report.Findings, err)
			}
			dryRun(t, target)
			expectExact(t, conn)
			expectSound(t, target)
		})
	}
}

func TestATruncateMeanwhileIsNoFalseAlarm(t *testing.T) {
	t.Parallel()
	target, conn := newOrchard(t)
	dryRun(t, target)
	run(t, conn, "TRUNCATE object_state CASCADE")
	restore(t, conn, 0, 5, document(1))
	if report, err := verify.Run(t.Context(), target, verifyOptions(false), testLog(t)); err != nil {
		t.Errorf("found %v, %v", report.Findings, err)
	}
}

func TestATableRewrittenMeanwhileIsReadAgain(t *testing.T) {
	t.Parallel()
	target, conn := newOrchard(t)
	dryRun(t, target)
	unnoticed(t, conn, rewrite, 79, orchardRecord(200))
	report, err := verify.Run(t.Context(), target, duringVerify(5, func() {
		run(t, sessionOn(t, target), "VACUUM FULL object_state")
	}), testLog(t))
	if fault.ExitCode(err) != fault.ExitRefused || report.Scanned.Objects <= 160 {
		t.Errorf("%v, %d states read", err, report.Scanned.Objects)
	}
	expectFinding(t, report.Findings, "other_references", []int64{79})
}

// Rows that move while a first build reads are read by the capture that follows.
func TestARootThatIsStillToBeReadIsNotLost(t *testing.T) {
	t.Parallel()
	_, conn := newGarden(t)
	run(t, conn, "SELECT relpack.try_pack_lock()")
	for _, step := range []string{"SELECT relpack.build_reset()", "SELECT relpack.build_begin(1)", "DELETE FROM relpack.scan_range", "UPDATE relpack.storage SET scan_disturbed = true"} {
		run(t, conn, step)
	}
	for step := new(string); step != nil; {
		step = get[*string](t, conn, "SELECT step FROM relpack.build_step()")
	}
	if found := lines(t, conn, "SELECT finding FROM relpack.verify() WHERE severity = 'error'"); len(found) > 0 {
		t.Errorf("verify finds %v", found)
	}
	run(t, conn, "SELECT relpack.release_pack_lock()")
}
