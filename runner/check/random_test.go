package check_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"relpack/runner/check"
	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
)

// A drawn object refers to others.
type drawn struct {
	refs []int64
	kind string // document, odd or blob
}

// drawings is a storage as it should be told of.
type drawings map[int64]drawn

func (d drawings) draw(random *rand.Rand, zoid int64) []byte {
	object := drawn{kind: "document"}
	switch {
	case zoid >= 32:
		object.kind = "blob"
	case zoid > 0 && random.IntN(20) == 0:
		object.kind = "odd"
	}
	refs := random.IntN(5)
	if zoid == 0 {
		refs = 6 // what nobody refers to tells nothing
	}
	for i := refs; i > 0 && object.kind != "blob"; i-- {
		object.refs = append(object.refs, random.Int64N(44)) // from 40 on none is stored
	}
	slices.Sort(object.refs)
	object.refs = slices.Compact(object.refs)
	if object.kind == "odd" { // only what names an object is a reference of these
		object.refs = slices.DeleteFunc(object.refs, func(to int64) bool { return d[to].kind == "" })
	}
	d[zoid] = object
	switch object.kind {
	case "odd":
		return zodbtest.Odd(zodbtest.Document, object.refs...)
	case "blob":
		return zodbtest.Record(zodbtest.Blob)
	}
	return record(object.refs...)
}

// told is what a check has to say: of what is lost by how many, and which live objects
// are odd, and blobs.
func (d drawings) told() string {
	live, holders := map[int64]bool{0: true}, map[int64]int{}
	for level := []int64{0}; len(level) > 0; {
		at := level[0]
		level = level[1:]
		for _, to := range d[at].refs {
			if _, stored := d[to]; !stored {
				holders[to]++
			} else if !live[to] {
				live[to] = true
				level = append(level, to)
			}
		}
	}
	return fmt.Sprint(holders, d.live(live, "odd"), d.live(live, "blob"))
}

func (d drawings) live(live map[int64]bool, kind string) (zoids []int64) {
	for _, zoid := range slices.Sorted(maps.Keys(live)) {
		if d[zoid].kind == kind {
			zoids = append(zoids, zoid)
		}
	}
	return zoids
}

func tells(r *check.Report) string {
	holders := map[int64]int{}
	for _, l := range r.Lost {
		holders[l.Zoid] = int(l.Holders)
	}
	var odd, blobs []int64
	for _, u := range r.Undecodable {
		odd = append(odd, u.Zoid)
	}
	for _, b := range r.Blobs.First {
		blobs = append(blobs, b.Zoid)
	}
	slices.Sort(odd)
	slices.Sort(blobs)
	return fmt.Sprint(holders, odd, blobs)
}

// eachSeed plays with the seeds from RELPACK_SEED on (default 1), RELPACK_HISTORIES of
// them, one after the other.
func eachSeed(t *testing.T, play func(*testing.T, *rand.Rand)) {
	histories, seed := pgtest.Number(t, "RELPACK_HISTORIES", 2), pgtest.Number(t, "RELPACK_SEED", 1)
	for n := range histories {
		t.Run(fmt.Sprint("seed ", seed+n), func(t *testing.T) {
			play(t, rand.New(rand.NewPCG(uint64(seed+n), 0)))
		})
	}
}

// Whatever was written since the last pack, a check tells what is so now.
func TestEveryCheckTellsWhatIsSo(t *testing.T) {
	t.Parallel()
	eachSeed(t, checkStorage)
}

func checkStorage(t *testing.T, random *rand.Rand) {
	s := newEmpty(t)
	s.BlobDir = t.TempDir()
	if err := zodbtest.NewBlobDir(s.BlobDir, zodbtest.Bushy); err != nil {
		t.Fatal(err)
	}
	d, damaged := drawings{}, 0
	for round := range 30 {
		for commit := range 1 + random.IntN(3) {
			records := map[int64][]byte{}
			for range 1 + random.IntN(6) {
				zoid := random.Int64N(40)
				records[zoid] = d.draw(random, zoid)
			}
			if round+commit == 0 {
				records[0] = d.draw(random, 0)
			}
			packtest.CommitRecords(t, s.conn, records)
		}
		if round%5 == 0 {
			s.tryPack(t)
		}
		r, err := s.checked(t, check.Options{Max: 100})
		if strings.Contains(r.Uncertain, "can't be decoded") {
			s.tryPack(t)
			r, err = s.checked(t, check.Options{Max: 100})
		}
		if got, want := tells(r), d.told(); got != want || r.Uncertain != "" {
			t.Fatalf("round %d: it says %s %s, and is %s: %v %v", round, got, r.Uncertain, want, err, d)
		}
		if r.ExitCode == fault.ExitRefused {
			damaged++
		}
	}
	if damaged < 5 {
		t.Errorf("%d checks of 30 found something", damaged)
	}
}
