package orphans_test

import (
	"testing"

	"relpack/runner/fault"
	"relpack/runner/internal/zodbtest"
)

// Before RelStorage 3.0 tids are of the clients' clocks, and a server's clock may have
// been ahead: each new tid is later than the highest before, and that is all.
func TestWhatIsSupersededAfterARemovalByAClockThatIsLateTellsOfNobody(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	s.expectRemoved(s.removing(), "superseded")
	tid := zodbtest.TimeTid(s.now.Add(-3 * day))
	s.commit(tid, map[int64][]byte{3: zodbtest.Record(zodbtest.Blob)})
	s.write(s.layout, 3, tid, 20*day, "stored")
	s.files[s.below(3, s.then, s.layout)] = "overwritten"
	if r := s.expectRemoved(s.removing(), "superseded", "overwritten"); kind(r, "arrived") != 0 {
		t.Errorf("%+v", r)
	}
	delete(s.files, s.below(2, s.then, s.layout))
	s.aside(3, s.then)
	_, err := s.look(s.removing())
	s.expectRefused(err, fault.ExitRefused, "came back that nobody needed when it was last cleared")
}
