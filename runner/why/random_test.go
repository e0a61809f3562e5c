package why_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/program"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/look"
)

// randomRefs are references to a few of the first so many objects, stored or not.
func randomRefs(random *rand.Rand, objects int64) []int64 {
	refs := make([]int64, random.IntN(4))
	for i := range refs {
		refs[i] = random.Int64N(objects)
	}
	return refs
}

// What the site does between two packs is random: commits, restored rows with old
// tids, deletions. The truth is a mark from the root. Where a row vanished, what hung
// on it may be called alive: the pack keeps it.
func TestNoLiveObjectIsCalledUnreachableWhateverWasWrittenSinceTheLastPack(t *testing.T) {
	t.Parallel()
	const objects = 40
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 1))
			first := map[int64][]byte{}
			for zoid := range int64(objects) {
				if zoid == 0 || random.IntN(4) > 0 {
					first[zoid] = record(randomRefs(random, objects+3)...)
				}
			}
			s := newStorage(t, first)
			deleted := false
			for range 6 {
				for range 1 + random.IntN(3) {
					deleted = s.change(t, random, objects) || deleted
				}
				s.compare(t, deleted)
				if random.IntN(3) == 0 {
					program.Run(t, "pack", "--quiet", "--dry-run", "--days", "-1", "--dsn", s.dsn)
					s.compare(t, deleted)
				}
			}
		})
	}
}

// change does what a site or its operator does; true if a row was deleted.
func (s storage) change(t *testing.T, random *rand.Rand, objects int64) (deleted bool) {
	t.Helper()
	switch random.IntN(5) {
	case 0:
		packtest.Run(t, s.conn, "DELETE FROM object_state WHERE zoid = $1", 1+random.Int64N(objects-1))
		return true
	case 1:
		packtest.Run(t, s.conn, `INSERT INTO object_state (zoid, tid, state_size, state) VALUES ($1, 7, 1, $2)
			ON CONFLICT (zoid) DO UPDATE SET state = excluded.state`, random.Int64N(objects), record(randomRefs(random, objects)...))
	default:
		changed := map[int64][]byte{}
		for range 1 + random.IntN(4) {
			changed[random.Int64N(objects+3)] = record(randomRefs(random, objects+3)...)
		}
		packtest.CommitRecords(t, s.conn, changed)
	}
	return false
}

// compare asks about all objects.
func (s storage) compare(t *testing.T, holes bool) {
	t.Helper()
	refs, err := zodbtest.Load(t.Context(), s.conn)
	if err != nil {
		t.Fatal(err)
	}
	reachable := zodbtest.Reachable(refs)
	var zoids []int64
	for zoid := range refs {
		zoids = append(zoids, zoid)
	}
	slices.Sort(zoids)
	for _, a := range s.ask(t, 0, zoids...) {
		switch {
		case reachable[a.Zoid] && a.Verdict == look.Alive:
			for i := 1; i < len(a.Way); i++ {
				if !slices.Contains(refs[a.Way[i-1].Zoid], a.Way[i].Zoid) && !a.Way[i-1].Missing {
					t.Errorf("zoid %d: %d does not refer to %d", a.Zoid, a.Way[i-1].Zoid, a.Way[i].Zoid)
				}
			}
		case !reachable[a.Zoid] && (a.Verdict == look.Unreachable || holes && a.Verdict == look.Alive):
		default:
			t.Errorf("zoid %d is %s; reachable: %v", a.Zoid, a.Verdict, reachable[a.Zoid])
		}
	}
}
