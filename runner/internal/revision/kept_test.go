package revision

import (
	"reflect"
	"testing"

	"relpack/runner/internal/zodbtest"
)

func (s *Storage) add(zoid, tid, prev int64, state []byte) {
	s.Revisions[zoid] = append(s.Revisions[zoid], Revision{Zoid: zoid, Tid: tid, PrevTid: prev, State: state})
	s.Packed[tid] = false
	s.Current[zoid] = tid
}

func refer(zoids ...int64) []byte { return zodbtest.Record(zodbtest.Document, zoids...) }

// example: the root refers to 1 from 10 to 30 and to 2 since 30; 3 hangs on nothing
// since 20; 4 is a whiteout of 15; 5 was un-created at 40.
func example() *Storage {
	s := &Storage{Revisions: map[int64][]Revision{}, Packed: map[int64]bool{0: false}, Current: map[int64]int64{}}
	s.add(0, 10, 0, refer(1, 3))
	s.add(0, 20, 10, refer(1))
	s.add(0, 30, 20, refer(2))
	s.add(1, 10, 0, refer())
	s.add(2, 12, 0, refer())
	s.add(2, 14, 12, refer())
	s.add(3, 10, 0, refer())
	s.add(4, 10, 0, refer())
	s.add(4, 15, 10, nil)
	s.add(5, 10, 0, refer())
	s.add(5, 40, 10, nil)
	return s
}

func TestATrimKeepsTheNewestRevisionUpToThePackTimeAndAllLaterOnes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		packTid int64
		want    []Key
	}{
		{9, example().Keys()},
		{20, []Key{{0, 20}, {0, 30}, {1, 10}, {2, 14}, {3, 10}, {5, 10}, {5, 40}}},
		{30, []Key{{0, 30}, {1, 10}, {2, 14}, {3, 10}, {5, 10}, {5, 40}}},
		{40, []Key{{0, 30}, {1, 10}, {2, 14}, {3, 10}}},
	} {
		if got := example().Trimmed(test.packTid); !reflect.DeepEqual(got, test.want) {
			t.Errorf("up to %d: %v, want %v", test.packTid, got, test.want)
		}
	}
}

func TestAnObjectThatWasSetBackKeepsAllOfItsRevisions(t *testing.T) {
	t.Parallel()
	s := example()
	s.Current[0] = 20
	want := []Key{{0, 10}, {0, 20}, {0, 30}, {1, 10}, {2, 14}, {3, 10}}
	if got := s.Trimmed(40); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := s.Collect(40).Stay(); !reflect.DeepEqual(got, want) {
		t.Errorf("with garbage collection: %v, want %v", got, want)
	}
}

func TestARevisionThatALaterOneNamesStaysUntilThePackTimeIsPastThat(t *testing.T) {
	t.Parallel()
	s := example()
	s.Revisions[0][2].PrevTid = 10 // as after a revision was restored
	if got, want := s.Trimmed(20)[:3], []Key{{0, 10}, {0, 20}, {0, 30}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got, want := s.Trimmed(30)[:2], []Key{{0, 30}, {1, 10}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
