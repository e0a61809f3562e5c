package orphans_test

import (
	"testing"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
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

// A pack has to decide first about an object of which a file is listed. Nothing superseded
// it: what is superseded since is no newcomer all the same.
func TestAFileOfAListedObjectDoesNotHoldBackUpToWhenADirectoryIsCleared(t *testing.T) {
	t.Parallel()
	s := newShelf(t, zodbtest.Bushy)
	s.write(s.layout, 9, s.then-7, 20*day, "unjudged")
	packtest.Run(t, s.conn, "INSERT INTO relpack.blob_removal (zoid, tid) VALUES (9, $1)", s.then)
	if r := s.expectRemoved(s.removing(), "superseded"); kind(r, "unjudged") != 1 {
		t.Errorf("%+v", r)
	}
	delete(s.files, s.below(2, s.then, s.layout))
	s.aside(2, s.then)
	_, err := s.look(s.removing())
	s.expectRefused(err, fault.ExitRefused, "came back that nobody needed when it was last cleared")
}
