package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/zodbtest"
)

// What zodbpack deletes from the sample, stage by stage: the lists that came
// with it have so many objects more than those of the stage before.
var expected = []struct {
	stage string
	count int
}{
	{zodbtest.Small, 744},
	{zodbtest.Changes, 208},
	{zodbtest.MoreChanges, 11},
}

// newGarbage lists what becomes garbage at a stage.
func newGarbage(stage string) ([]int64, error) {
	var before []int64
	for _, e := range expected {
		all, err := zodbtest.Garbage(e.stage)
		if err != nil {
			return nil, err
		}
		fresh := without(all, before)
		if len(fresh) != e.count {
			return nil, fmt.Errorf("the list of stage %s has %d new objects, not %d", e.stage, len(fresh), e.count)
		}
		if e.stage == stage {
			return fresh, nil
		}
		before = all
	}
	return nil, fmt.Errorf("the sample has no stage %s", stage)
}

// pack runs relpack and checks that exactly what zodbpack would delete is gone,
// with its files, or is only found by a dry run.
func (s *site) pack(ctx context.Context, stage, command string, dry bool) error {
	garbage, err := newGarbage(stage)
	if err != nil {
		return err
	}
	before, err := s.zoids(ctx, "SELECT zoid FROM object_state ORDER BY zoid")
	if err != nil {
		return err
	}
	tids, err := s.zoids(ctx, "SELECT tid FROM object_state ORDER BY zoid")
	if err != nil {
		return err
	}
	if err := s.run(ctx, command); err != nil {
		return err
	}
	after, err := s.zoids(ctx, "SELECT zoid FROM object_state ORDER BY zoid")
	if err != nil {
		return err
	}
	unreachable, err := s.zoids(ctx, "SELECT zoid FROM relpack.unreachable_object ORDER BY zoid")
	if err != nil {
		return err
	}
	gone, found := garbage, []int64{}
	if dry {
		gone, found = nil, garbage
	}
	if left := without(before, gone); !slices.Equal(after, left) {
		return fmt.Errorf("check: %d of %d objects are stored after the pack, not the %d that zodbpack would leave", len(after), len(before), len(left))
	}
	if !slices.Equal(unreachable, found) {
		return fmt.Errorf("check: relpack knows %d unreachable objects, not the %d of zodbpack", len(unreachable), len(found))
	}
	last := map[int64]int64{} // revision of what is gone
	for i, zoid := range before {
		if _, is := slices.BinarySearch(gone, zoid); is {
			last[zoid] = tids[i]
		}
	}
	if err := s.checkBlobs(ctx, last); err != nil {
		return err
	}
	s.screen.say("\n(Checked: the %d objects are those that zodbpack finds.)", len(garbage))
	return nil
}

// checkBlobs looks into the blob directory: no file of a revision that is gone,
// a directory for every blob that is stored.
func (s *site) checkBlobs(ctx context.Context, gone map[int64]int64) error {
	for zoid, tid := range gone {
		if _, err := os.Stat(zodbtest.BlobPath(s.blobs(), zodbtest.Bushy, zoid, tid)); !os.IsNotExist(err) {
			return fmt.Errorf("check: object %d is gone, its blob file is not", zoid)
		}
	}
	blobs, err := s.zoids(ctx, "SELECT zoid FROM relpack.object WHERE class = 1")
	if err != nil {
		return err
	}
	for _, zoid := range blobs {
		if _, err := os.Stat(zodbtest.ObjectDir(s.blobs(), zodbtest.Bushy, zoid)); err != nil {
			return fmt.Errorf("check: blob %d is stored, its file is not: %w", zoid, err)
		}
	}
	return nil
}

func (s *site) zoids(ctx context.Context, sql string) (list []int64, err error) {
	err = s.connected(ctx, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, sql)
		if err == nil {
			list, err = pgx.CollectRows(rows, pgx.RowTo[int64])
		}
		return err
	})
	return list, err
}

// without is what of all is not in gone; gone is in ascending order.
func without(all, gone []int64) []int64 {
	return slices.DeleteFunc(slices.Clone(all), func(zoid int64) bool {
		_, found := slices.BinarySearch(gone, zoid)
		return found
	})
}
