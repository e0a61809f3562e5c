package zodbtest

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"relpack/runner/pickle"
)

// Reachable is what can be reached from the root, zoid 0, in a graph that maps
// each stored object to those that it refers to. Dangling references lead
// nowhere: the result holds stored objects only.
func Reachable(refs map[int64][]int64) map[int64]bool {
	reached := map[int64]bool{}
	open := []int64{0}
	for len(open) > 0 {
		zoid := open[len(open)-1]
		open = open[:len(open)-1]
		targets, stored := refs[zoid]
		if !stored || reached[zoid] {
			continue
		}
		reached[zoid] = true
		open = append(open, targets...)
	}
	return reached
}

// Unreachable lists the stored objects that Reachable does not reach, in
// ascending order.
func Unreachable(refs map[int64][]int64) []int64 {
	reached := Reachable(refs)
	var zoids []int64
	for zoid := range refs {
		if !reached[zoid] {
			zoids = append(zoids, zoid)
		}
	}
	slices.Sort(zoids)
	return zoids
}

// Load reads all of object_state and decodes the references: the graph for
// Reachable.
func Load(ctx context.Context, conn *pgx.Conn) (map[int64][]int64, error) {
	rows, err := conn.Query(ctx, "SELECT zoid, state FROM object_state")
	if err != nil {
		return nil, fmt.Errorf("read object_state: %w", err)
	}
	refs := map[int64][]int64{}
	var (
		scanner pickle.Scanner
		zoid    int64
		state   []byte
	)
	_, err = pgx.ForEachRow(rows, []any{&zoid, &state}, func() error {
		refs[zoid] = nil
		if len(state) == 0 {
			return nil
		}
		if err := scanner.Scan(state); err != nil {
			return fmt.Errorf("decode object %d: %w", zoid, err)
		}
		refs[zoid] = slices.Clone(scanner.Refs())
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read object_state: %w", err)
	}
	return refs, nil
}

// Stored lists the zoids in object_state, in ascending order.
func Stored(ctx context.Context, conn *pgx.Conn) ([]int64, error) {
	rows, err := conn.Query(ctx, "SELECT zoid FROM object_state ORDER BY zoid")
	if err != nil {
		return nil, fmt.Errorf("read object_state: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}
