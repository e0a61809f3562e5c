package pack

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"relpack/runner/inventory"
	"relpack/runner/record"
	"relpack/runner/session"
)

// addClasses adds to what goes, or would.
func (t *trimming) addClasses(found []inventory.ClassHistory) {
	if len(found) == 0 {
		return
	}
	if t.classes == nil {
		t.classes = map[string]inventory.ClassHistory{}
	}
	for _, c := range found {
		sum := t.classes[c.Class]
		t.classes[c.Class] = inventory.ClassHistory{Class: c.Class, Revisions: sum.Revisions + c.Revisions, Bytes: sum.Bytes + c.Bytes}
	}
	t.ByClass = inventory.MostHistory(t.classes)
}

// classesOf tells for a dry run of which classes revisions are. Without garbage collection
// there is no graph that knows it.
func (t *trimming) classesOf(ctx context.Context, zoids, tids, sizes []int64) (found []inventory.ClassHistory, err error) {
	if !t.job.Target.KeepsGarbage {
		found, err = session.Rows(ctx, t.Conn, pgx.RowToStructByPos[inventory.ClassHistory],
			"SELECT class, revisions, bytes FROM relpack.trim_classes($1, $2)", zoids, sizes)
	} else {
		found, err = t.readClasses(ctx, zoids, tids, sizes)
	}
	if err != nil {
		return nil, fmt.Errorf("count old revisions by class: %w", err)
	}
	return found, nil
}

// statesRead is of how many objects one statement reads a state.
const statesRead = 1_000

// readClasses reads the last one of these revisions of each object.
func (t *trimming) readClasses(ctx context.Context, zoids, tids, sizes []int64) (found []inventory.ClassHistory, err error) {
	type object struct{ zoid, tid, revisions, bytes int64 }
	var objects []object
	for i, zoid := range zoids {
		if len(objects) == 0 || objects[len(objects)-1].zoid != zoid {
			objects = append(objects, object{zoid: zoid})
		}
		o := &objects[len(objects)-1]
		o.tid, o.revisions, o.bytes = max(o.tid, tids[i]), o.revisions+1, o.bytes+sizes[i]
	}
	classes := map[int64]string{}
	reader := record.NewReader(nil, func(_ context.Context, row record.Row, found record.Decoded) error {
		classes[row.Zoid] = label(found.Module, found.Name)
		return nil
	})
	for some := range slices.Chunk(objects, statesRead) {
		clear(classes)
		last := make([]string, len(some))
		for i, o := range some {
			last[i] = fmt.Sprintf("(%d::bigint, %d::bigint)", o.zoid, o.tid)
		}
		if err := reader.Query(ctx, t.Conn, `SELECT stored.zoid, stored.tid, stored.state FROM (VALUES `+strings.Join(last, ", ")+`) AS old (zoid, tid)
			CROSS JOIN LATERAL (SELECT zoid, tid, state FROM relpack.stored() AS few
				WHERE few.zoid = old.zoid AND few.tid BETWEEN old.tid AND old.tid OFFSET 0) AS stored`); err != nil {
			return nil, err
		}
		for _, o := range some {
			found = append(found, inventory.ClassHistory{Class: cmp.Or(classes[o.zoid], label(nil, nil)), Revisions: o.revisions, Bytes: o.bytes})
		}
	}
	return found, nil
}

// label is how relpack.class calls a class.
func label(module, name []byte) string {
	switch {
	case len(name) == 0:
		return "(unknown)"
	case len(module) == 0:
		return string(name)
	}
	return string(module) + "." + string(name)
}
