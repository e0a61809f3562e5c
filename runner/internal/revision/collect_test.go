package revision

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"relpack/runner/internal/zodbtest"
)

// collected is a storage of small hand-made cases: each is a row, tid first.
func collected(rows ...Revision) *Storage {
	s := &Storage{Revisions: map[int64][]Revision{}, Packed: map[int64]bool{0: false}, Current: map[int64]int64{}}
	for _, r := range rows {
		if all := s.Revisions[r.Zoid]; r.PrevTid == 0 && len(all) > 0 {
			r.PrevTid = all[len(all)-1].Tid
		}
		s.add(r.Zoid, r.Tid, r.PrevTid, r.State)
	}
	return s
}

// row is a revision that refers to these objects.
func row(tid, zoid int64, refs ...int64) Revision {
	return Revision{Tid: tid, Zoid: zoid, State: refer(refs...)}
}

func whiteout(tid, zoid int64) Revision { return Revision{Tid: tid, Zoid: zoid} }

func expectGarbage(t *testing.T, s *Storage, packTid int64, want ...int64) {
	t.Helper()
	if got := s.Collect(packTid).Garbage(); !slices.Equal(got, want) {
		t.Errorf("up to %d garbage is %v, want %v", packTid, got, want)
	}
}

func TestGarbageIsWhatNothingKeptRefersTo(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		packTid int64
		want    []Key
	}{
		{19, []Key{{0, 10}, {0, 20}, {0, 30}, {1, 10}, {2, 14}, {3, 10}, {5, 10}, {5, 40}}},
		{25, []Key{{0, 20}, {0, 30}, {1, 10}, {2, 14}, {5, 10}, {5, 40}}},
		{40, []Key{{0, 30}, {2, 14}}},
	} {
		if got := example().Collect(test.packTid).Stay(); !slices.Equal(got, test.want) {
			t.Errorf("up to %d: %v, want %v", test.packTid, got, test.want)
		}
	}
}

func TestAReferenceCountsAsLongAsARevisionThatHasItIsKept(t *testing.T) {
	t.Parallel()
	// 1 refers to 2 from 20 to 30, and then no more.
	s := collected(row(10, 0, 1), row(10, 1), row(15, 2), row(20, 1, 2), row(30, 1), row(40, 0, 1))
	expectGarbage(t, s, 10)
	expectGarbage(t, s, 19)
	expectGarbage(t, s, 20) // the newest up to then
	expectGarbage(t, s, 29)
	expectGarbage(t, s, 30, 2)
	expectGarbage(t, s, 40, 2)
}

func TestWhatWasCutBeforeThePackTimeAndPastedIntoANewFolderAfterItStays(t *testing.T) {
	t.Parallel()
	s := collected(row(10, 0, 1, 2), row(10, 1, 3), row(10, 2), row(10, 3, 4), row(10, 4),
		row(20, 1),                                  // 3 is cut
		row(40, 5, 3), row(40, 2, 5), row(50, 0, 2)) // and pasted
	expectGarbage(t, s, 30)
	expectGarbage(t, s, 50, 1)
}

func TestWhatIsNewStaysWithAllThatItRefersTo(t *testing.T) {
	t.Parallel()
	s := collected(row(10, 0), row(10, 1, 2), row(11, 2), row(30, 3, 1))
	expectGarbage(t, s, 29)
	expectGarbage(t, s, 30, 1, 2, 3)
}

func TestWhatHangsOnObjectZeroIsToldApartFromWhatIsNew(t *testing.T) {
	t.Parallel()
	s := collected(row(10, 0, 1), row(10, 1), row(30, 3, 2), row(11, 2))
	if got := s.Reached(20).Garbage(); !slices.Equal(got, []int64{2, 3}) {
		t.Errorf("%v", got)
	}
	expectGarbage(t, s, 20)
}

func TestACircleIsNoReasonToStay(t *testing.T) {
	t.Parallel()
	s := collected(row(10, 0, 1), row(10, 1, 2), row(10, 2, 1), row(20, 0))
	expectGarbage(t, s, 19)
	expectGarbage(t, s, 20, 1, 2)
}

func TestReferencesOfARevisionThatALaterOneNamesCount(t *testing.T) {
	t.Parallel()
	// The revision of 30 was written by who had loaded that of 10.
	s := collected(row(10, 0, 1), row(10, 1), row(20, 0), Revision{Tid: 30, Zoid: 0, PrevTid: 10, State: refer()})
	expectGarbage(t, s, 29)
	expectGarbage(t, s, 30, 1)
}

func TestADeletedObjectHasTheReferencesOfWhatIsKeptOfIt(t *testing.T) {
	t.Parallel()
	s := collected(row(10, 0, 1), row(10, 1, 2), row(10, 2), whiteout(30, 1))
	expectGarbage(t, s, 29)
	expectGarbage(t, s, 30, 2)
	// 0 refers to 1 still: the revision that says that it is deleted stays.
	if got, want := s.Collect(30).Stay(), []Key{{0, 10}, {1, 30}}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	s = collected(row(10, 0, 1), row(10, 1, 2), row(10, 2), whiteout(30, 1), row(30, 0))
	expectGarbage(t, s, 29)
	expectGarbage(t, s, 30, 1, 2)
}

func TestAnUndoneCutKeepsWhatWasCut(t *testing.T) {
	t.Parallel()
	// The cut of 20 is undone by 30, and that by 40.
	s := collected(row(10, 0, 1), row(10, 1), row(20, 0), row(30, 0, 1), row(40, 0))
	expectGarbage(t, s, 25)
	expectGarbage(t, s, 30)
	expectGarbage(t, s, 39)
	expectGarbage(t, s, 40, 1)
}

func TestAllReferencesOfAnObjectThatWasSetBackCount(t *testing.T) {
	t.Parallel()
	set := func(current int64) *Storage {
		s := collected(row(10, 0, 1), row(10, 1, 2), row(10, 2), row(20, 1, 3), row(11, 3), row(30, 1), row(40, 0))
		s.Current[1] = current
		return s
	}
	expectGarbage(t, set(30), 40, 1, 2, 3)
	expectGarbage(t, set(20), 40)
	s := set(30)
	delete(s.Current, 1) // nobody knows what is current
	expectGarbage(t, s, 40)
}

func TestOnlyRevisionsThatStayHaveToBeReadable(t *testing.T) {
	t.Parallel()
	secret := func(tid, zoid int64) Revision {
		return Revision{Tid: tid, Zoid: zoid, State: zodbtest.Encrypted(refer())}
	}
	s := collected(row(10, 0, 1), secret(10, 1), row(20, 1), secret(10, 2))
	for _, test := range []struct {
		packTid int64
		want    []Key
	}{{9, []Key{{1, 10}, {2, 10}}}, {10, []Key{{1, 10}}}, {19, []Key{{1, 10}}}, {20, nil}} {
		if got := s.Collect(test.packTid).Unread; !slices.Equal(got, test.want) {
			t.Errorf("up to %d nobody can read %v, want %v", test.packTid, got, test.want)
		}
	}
}

// A run that was killed may have come anywhere up to its pack time: what a pack up to
// that keeps is there in any case.
func TestWhatALaterPackKeepsAnEarlierOneKeepsAsWell(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		s := collected(row(10, 0, 1, 2))
		for tid := int64(11); tid < 40; tid++ {
			r := row(tid, random.Int64N(8), random.Int64N(8), random.Int64N(8))
			if revisions := s.Revisions[r.Zoid]; len(revisions) > 0 && random.IntN(4) == 0 {
				r.PrevTid = revisions[random.IntN(len(revisions))].Tid
			}
			if r.Zoid > 0 && random.IntN(8) == 0 {
				r.State = nil
			}
			s.add(r.Zoid, r.Tid, r.PrevTid, r.State)
		}
		for zoid, revisions := range s.Revisions {
			if random.IntN(6) == 0 {
				s.Current[zoid] = revisions[0].Tid
			}
		}
		if err := shrinks(s); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func shrinks(s *Storage) error {
	earlier := s.Keys()
	for tid := int64(10); tid <= 40; tid++ {
		later := s.Collect(tid).Stay()
		for _, key := range later {
			if !slices.Contains(earlier, key) {
				return fmt.Errorf("up to %d %v stays, and goes up to %d", tid, key, tid-1)
			}
		}
		trimmed := s.Trimmed(tid)
		for _, key := range later {
			state, _ := find(s.Revisions[key.Zoid], key.Tid)
			if state.State != nil && !slices.Contains(trimmed, key) {
				return fmt.Errorf("up to %d %v stays, and goes where garbage stays", tid, key)
			}
		}
		earlier = later
	}
	return nil
}
