package revision

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A packer trims by the functions of the server code, in batches as small as can be,
// and may be killed between two. act is called between them: the site goes on.
type packer struct {
	conn *pgx.Conn
	rand *rand.Rand
	act  func() error
	// beside makes a call, and has something done to a revision that it deletes.
	beside func(zoid, tid int64, call func() error) error
	live   int // so often may it be killed
	acts   int // so often was something done meanwhile
}

type killed struct{}

func (killed) Error() string { return "killed" }

func (p *packer) between() error {
	if p.rand.IntN(25) == 0 && p.live > 0 {
		p.live--
		return killed{}
	}
	return p.act()
}

func (p *packer) call(ctx context.Context, sql string, args []any, into ...any) error {
	if err := p.conn.QueryRow(ctx, sql, args...).Scan(into...); err != nil {
		return fmt.Errorf("%s %v: %w", sql, args, err)
	}
	return p.between()
}

// trim is a pack with pack-gc false. found is what a dry run would have said.
func (p *packer) trim(ctx context.Context, until int64) (err error) {
	var got bool
	if err := p.call(ctx, "SELECT relpack.try_pack_lock()", nil, &got); err != nil {
		return err
	}
	for settled := false; !settled; {
		if err := p.call(ctx, "SELECT relpack.trim_settle()", nil, &settled); err != nil {
			return err
		}
	}
	if err := p.mark(ctx, until); err != nil {
		return err
	}
	if err := p.revisions(ctx, until); err != nil {
		return err
	}
	if err := p.whiteouts(ctx, until); err != nil {
		return err
	}
	if err := p.mark(ctx, until); err != nil {
		return err
	}
	return p.transactions(ctx)
}

func (p *packer) mark(ctx context.Context, until int64) error {
	last := new(int64)
	for *last = 0; last != nil; {
		var marked int64
		if err := p.call(ctx, "SELECT marked, last_tid FROM relpack.trim_mark($1, $2, $3)",
			[]any{until, *last, 1 + p.rand.IntN(4)}, &marked, &last); err != nil {
			return err
		}
	}
	return nil
}

// again marks what was restored meanwhile and tries a batch once more: each time something
// may have been restored again. Where nobody did anything it does not go on for ever.
func (p *packer) again(ctx context.Context, until int64, try func() error) error {
	for alone := 0; ; alone++ {
		acts := p.acts
		err := try()
		var raised *pgconn.PgError
		if !errors.As(err, &raised) || (raised.Code != "RP003" && raised.Code != "23503") || alone == 3 {
			return err
		}
		if err := p.mark(ctx, until); err != nil {
			return err
		}
		if p.acts != acts {
			alone = 0
		}
	}
}

func (p *packer) revisions(ctx context.Context, until int64) error {
	zoid, tid := new(int64), new(int64)
	*zoid, *tid = -1, 0
	for zoid != nil {
		var zoids, tids []int64
		var revisions int64
		// A pack leaves it to the batch to judge, who looks does not.
		if err := p.call(ctx, "SELECT zoids, tids, revisions, last_zoid, last_tid FROM relpack.trim_find($1, $2, $3, $4, $5, judged => $6)",
			[]any{until, *zoid, *tid, 1 + p.rand.IntN(5), 1 + p.rand.IntN(20), p.rand.IntN(3) == 0}, &zoids, &tids, &revisions, &zoid, &tid); err != nil {
			return err
		}
		if len(zoids) == 0 {
			continue
		}
		if err := p.again(ctx, until, func() error {
			return p.batch(ctx, until, zoids, tids)
		}); err != nil {
			return err
		}
	}
	return nil
}

func (p *packer) batch(ctx context.Context, until int64, zoids, tids []int64) error {
	call := func() error {
		var revisions int64
		return p.conn.QueryRow(ctx, "SELECT revisions FROM relpack.trim_batch($1, $2, $3)", until, zoids, tids).Scan(&revisions)
	}
	if p.beside != nil && p.rand.IntN(4) == 0 {
		one, alone := p.rand.IntN(len(zoids)), call
		call = func() error { return p.beside(zoids[one], tids[one], alone) }
	}
	if err := call(); err != nil {
		return err
	}
	return p.between()
}

func (p *packer) whiteouts(ctx context.Context, until int64) error {
	block := new(int64)
	for block != nil {
		var zoids []int64
		if err := p.call(ctx, "SELECT zoids, next_block FROM relpack.trim_whiteouts($1, $2, $3)", []any{until, *block, 1}, &zoids, &block); err != nil {
			return err
		}
		for few := range slices.Chunk(zoids, 2) {
			var objects int64
			if err := p.again(ctx, until, func() error {
				return p.call(ctx, "SELECT objects FROM relpack.trim_uncreated($1, $2)", []any{until, few}, &objects)
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *packer) transactions(ctx context.Context) error {
	last := new(int64)
	for last != nil {
		var removed int64
		if err := p.call(ctx, "SELECT removed, last_tid FROM relpack.trim_transactions($1, $2)", []any{2, *last}, &removed, &last); err != nil {
			return err
		}
	}
	return nil
}

// compare tells in what a storage after a trim differs from what the rule says of
// the one before.
func compare(before, after *Storage, until int64) error {
	if want, got := before.Trimmed(until), after.Keys(); !reflect.DeepEqual(got, want) {
		return fmt.Errorf("after a trim up to %d there are %v, want %v", until, got, want)
	}
	for zoid, revisions := range after.Revisions {
		for _, r := range revisions {
			if was, there := find(before.Revisions[zoid], r.Tid); !there || was.PrevTid != r.PrevTid {
				return fmt.Errorf("revision %d of %d names %d as the one before, named %d", r.Tid, zoid, r.PrevTid, was.PrevTid)
			}
		}
	}
	if _, there := after.Packed[before.newest()]; !there {
		return fmt.Errorf("the newest transaction is gone: %d", before.newest())
	}
	for _, tid := range before.Marked(until) {
		if packed, there := after.Packed[tid]; there && !packed {
			return fmt.Errorf("transaction %d is not marked as packed", tid)
		}
	}
	for zoid := range after.Revisions {
		if after.Current[zoid] != before.Current[zoid] {
			return fmt.Errorf("the current revision of %d is %d, was %d", zoid, after.Current[zoid], before.Current[zoid])
		}
	}
	if len(after.Unlinked) > 0 {
		return fmt.Errorf("large objects are gone that rows name: %v", after.Unlinked)
	}
	return nil
}

func (s *Storage) newest() int64 { return slices.Max(slices.Collect(maps.Keys(s.Packed))) }

// loads compares what readers see at every time from until on.
func loads(before, after *Storage, until, newest int64) error {
	for tid := until; tid <= newest; tid++ {
		for _, zoid := range before.Zoids() {
			was, had := before.At(zoid, tid)
			is, has := after.At(zoid, tid)
			if had = had && was.State != nil; had && (!has || is.Tid != was.Tid) {
				return fmt.Errorf("object %d at %d: %v (%v), was %d", zoid, tid, is.Tid, has, was.Tid)
			}
		}
	}
	return nil
}
