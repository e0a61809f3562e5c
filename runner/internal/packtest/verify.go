package packtest

import (
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/graph"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/target"
	"relpack/runner/verify"
)

// VerifyOptions compare, and repair what is wrong if that is wanted.
func VerifyOptions(repair bool) verify.Options {
	return verify.Options{Repair: repair, Version: "test", Migrations: migrations.Files, RangeBlocks: 2}
}

// ExpectSound wants a verification that finds no error; it returns the notes.
func ExpectSound(t *testing.T, target target.Target) []string {
	t.Helper()
	report, err := verify.Run(t.Context(), target, VerifyOptions(false), Log(t))
	if err != nil || report.Outcome != "sound" || report.ExitCode != fault.ExitDone {
		t.Errorf("verify: %s, %v", report.Outcome, err)
	}
	return Kinds(report.Findings)
}

// Kinds are the kinds of findings, in order.
func Kinds(found []graph.Finding) []string {
	names := []string{}
	for _, f := range found {
		names = append(names, f.Kind)
	}
	slices.Sort(names)
	return names
}

// Spoilt are ways in which a graph can be wrong, and what names them.
var Spoilt = map[string]struct {
	Kind  string
	Zoids []int64
	Spoil func(t *testing.T, conn *pgx.Conn)
}{
	"a state rewritten with its old tid": {"other_references", []int64{2}, func(t *testing.T, conn *pgx.Conn) {
		Unnoticed(t, conn, Rewrite, 2, Document(11))
	}},
	"a state rewritten to refer to less": {"other_references", []int64{1}, func(t *testing.T, conn *pgx.Conn) {
		Unnoticed(t, conn, Rewrite, 1, Document())
	}},
	"a state of another class": {"other_class", []int64{2}, func(t *testing.T, conn *pgx.Conn) {
		Unnoticed(t, conn, Rewrite, 2, zodbtest.Record(zodbtest.Blob))
	}},
	"a problem where there is none": {"other_problem", []int64{2}, func(t *testing.T, conn *pgx.Conn) {
		Run(t, conn, "INSERT INTO relpack.problem VALUES (2, true, 'opaque', 'x')")
	}},
	"another tid": {"other_than_stored", []int64{2}, func(t *testing.T, conn *pgx.Conn) {
		Unnoticed(t, conn, RestoreRow, 2, 5, Document(10))
	}},
	"a row more": {"other_than_stored", []int64{30}, func(t *testing.T, conn *pgx.Conn) {
		Unnoticed(t, conn, RestoreRow, 30, 5, Document(10))
	}},
	"a row less": {"other_than_stored", []int64{12}, func(t *testing.T, conn *pgx.Conn) {
		Unnoticed(t, conn, "DELETE FROM object_state WHERE zoid = 12")
	}},
	"a node lost": {"other_than_stored", []int64{1}, func(t *testing.T, conn *pgx.Conn) {
		Spoil(t, conn, "DELETE FROM relpack.object WHERE zoid = 1")
	}},
	"the root lost": {"no_root", []int64{0}, func(t *testing.T, conn *pgx.Conn) {
		Spoil(t, conn, "DELETE FROM relpack.object WHERE zoid = 0")
	}},
	"the root detached": {"no_root", []int64{0}, func(t *testing.T, conn *pgx.Conn) {
		Run(t, conn, "UPDATE relpack.object SET parent = NULL WHERE zoid = 0")
	}},
	"a reference lost": {"other_references", []int64{11}, func(t *testing.T, conn *pgx.Conn) {
		Spoil(t, conn, "DELETE FROM relpack.object_inref WHERE zoid = 12 AND inref = 11")
	}},
	"a reference to a parent lost": {"parent_without_reference", []int64{2}, func(t *testing.T, conn *pgx.Conn) {
		Spoil(t, conn, "DELETE FROM relpack.object_inref WHERE zoid = 2 AND inref = 1")
	}},
	"a reference that nobody stored": {"other_references", []int64{2}, func(t *testing.T, conn *pgx.Conn) {
		Run(t, conn, "INSERT INTO relpack.object_inref VALUES (11, 2)")
	}},
	"all references lost": {"references_miscounted", nil, func(t *testing.T, conn *pgx.Conn) {
		Spoil(t, conn, "DELETE FROM relpack.object_inref")
	}},
	"all nodes lost": {"objects_miscounted", nil, func(t *testing.T, conn *pgx.Conn) {
		Spoil(t, conn, "DELETE FROM relpack.object")
	}},
	"references of an unknown object": {"referrer_is_no_node", []int64{77}, func(t *testing.T, conn *pgx.Conn) {
		Run(t, conn, "INSERT INTO relpack.object_inref VALUES (2, 77), (11, 77)")
	}},
	"a live object detached": {"live_but_detached", []int64{2}, func(t *testing.T, conn *pgx.Conn) {
		Run(t, conn, "UPDATE relpack.object SET parent = NULL, detached_tid = 5 WHERE zoid = 2")
	}},
	"a live object detached above others": {"parent_detached", []int64{2}, func(t *testing.T, conn *pgx.Conn) {
		Run(t, conn, "UPDATE relpack.object SET parent = NULL, detached_tid = 5 WHERE zoid = 1")
	}},
	"garbage that hangs on itself": {"parents_in_a_circle", []int64{10, 11, 12}, func(t *testing.T, conn *pgx.Conn) {
		Run(t, conn, "UPDATE relpack.object SET parent = CASE zoid WHEN 10 THEN 12 WHEN 11 THEN 10 ELSE 11 END, detached_tid = NULL WHERE zoid IN (10, 11, 12)")
	}},
	"a live object that counts as cut off": {"attached_with_detached_tid", []int64{1}, func(t *testing.T, conn *pgx.Conn) {
		Run(t, conn, "UPDATE relpack.object SET detached_tid = 5 WHERE zoid = 1")
	}},
	"work for what is not there": {"work_for_no_node", []int64{55, 66}, func(t *testing.T, conn *pgx.Conn) {
		Run(t, conn, "INSERT INTO relpack.doomed VALUES (55); INSERT INTO relpack.problem VALUES (66, true, 'opaque', 'x')")
	}},
	"a live object chosen for deletion": {"live_but_doomed", []int64{2}, func(t *testing.T, conn *pgx.Conn) {
		Run(t, conn, "INSERT INTO relpack.doomed VALUES (2)")
	}},
}
