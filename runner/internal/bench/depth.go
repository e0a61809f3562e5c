package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// depth enters how far from the root objects are in relpack's tree, and in the
// shallowest one that there could be.
func (b *bench) depth(ctx context.Context, after string) error {
	step("depth of the tree")
	var mean, most, near, nearest float64
	err := connected(ctx, b.dsn, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, "SET work_mem = '256MB'"); err != nil {
			return err
		}
		if err := conn.QueryRow(ctx, `
			WITH RECURSIVE tree (zoid, depth) AS (
				SELECT 0::bigint, 0
				UNION ALL
				SELECT object.zoid, tree.depth + 1
				FROM tree JOIN relpack.object ON object.parent = tree.zoid AND object.zoid <> 0
			)
			SELECT avg(depth)::float8, max(depth)::float8 FROM tree`).Scan(&mean, &most); err != nil {
			return err
		}
		var referrers, refs []int64
		var referrer, ref int64
		rows, err := conn.Query(ctx, `
			SELECT edge.inref, edge.zoid
			FROM relpack.object_inref AS edge
			JOIN relpack.object AS target ON target.zoid = edge.zoid
			ORDER BY edge.inref`)
		if err != nil {
			return err
		}
		if _, err := pgx.ForEachRow(rows, []any{&referrer, &ref}, func() error {
			referrers, refs = append(referrers, referrer), append(refs, ref)
			return nil
		}); err != nil {
			return err
		}
		near, nearest = breadthFirst(referrers, refs)
		return nil
	})
	if err != nil {
		return fmt.Errorf("how deep the tree is: %w", err)
	}
	name := "depth of the tree after " + after
	b.add(figure{Name: name, Value: mean, Unit: "levels", Note: fmt.Sprintf("on average; %g at most; breadth-first %.3g and %g", most, near, nearest)})
	b.add(figure{Name: name + " / breadth-first", Value: ratio(mean, near), Unit: "x", Must: 1.5})
	b.add(figure{Name: name + ", at most / breadth-first", Value: ratio(most, nearest), Unit: "x", Must: 2})
	return nil
}

// breadthFirst is how many references objects are away from the root, on average
// and at most. Of two slices that are alike, one has the referrers, ascending, the
// other what they refer to.
func breadthFirst(referrers, refs []int64) (mean, most float64) {
	level := map[int64]float64{0: 0}
	queue := []int64{0}
	for i := 0; i < len(queue); i++ {
		zoid := queue[i]
		at, _ := slices.BinarySearch(referrers, zoid)
		for ; at < len(referrers) && referrers[at] == zoid; at++ {
			if _, met := level[refs[at]]; !met {
				most = level[zoid] + 1
				level[refs[at]] = most
				mean += most
				queue = append(queue, refs[at])
			}
		}
	}
	return mean / float64(len(level)), most
}
