package revision

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/zodbtest"
)

// A site writes to a storage what its random numbers say: commits, blobs, undos,
// undos of undos, whiteouts, restored rows, and packs as zodbpack does them.
type site struct {
	zodbtest.History
	rand  *rand.Rand
	tid   int64 // the last one
	log   []string
	voter *voter
}

const siteObjects = 8

func newSite(conn, voting *pgx.Conn, seed uint64) *site {
	return &site{voter: &voter{conn: voting}, History: zodbtest.History{Conn: conn, Version: zodbtest.V42}, rand: rand.New(rand.NewPCG(seed, 7)), tid: 1000}
}

func (s *site) say(format string, args ...any) {
	s.log = append(s.log, fmt.Sprintf(format, args...))
}

func (s *site) state() []byte {
	return zodbtest.PaddedRecord(zodbtest.Document, s.rand.IntN(3), s.rand.Int64N(siteObjects), int64(s.rand.IntN(1<<20)))
}

func (s *site) objects() map[int64][]byte {
	objects := map[int64][]byte{}
	for range 1 + s.rand.IntN(3) {
		objects[s.rand.Int64N(siteObjects)] = s.state()
	}
	return objects
}

func (s *site) next() int64 {
	s.tid += 1 + s.rand.Int64N(3)
	return s.tid
}

// some is a tid among those given out, or one between them.
func (s *site) some() int64 { return 1000 + s.rand.Int64N(s.tid-1000+2) }

// step does one thing.
func (s *site) step(ctx context.Context) error {
	n := s.rand.IntN(22)
	// Whoever writes to an object waits for who has voted; an undo does not.
	if s.voter.zoid > 0 {
		if n < 10 {
			return s.undoBesideVote(ctx)
		}
		return s.finish(ctx)
	}
	switch {
	case n < 9:
		tid, objects := s.next(), s.objects()
		chunks := map[int64][][]byte{}
		for zoid := range objects {
			if zoid%3 == 2 {
				chunks[zoid] = [][]byte{{byte(tid)}, {1}}[:1+s.rand.IntN(2)]
			}
		}
		s.say("commit %d: %v", tid, sortedKeys(objects))
		_, err := s.CommitBlobs(ctx, tid, objects, chunks)
		return err
	case n < 14:
		undone, tid := s.existing(ctx), s.next()
		s.say("undo %d as %d", undone, tid)
		_, err := s.Undo(ctx, undone, tid)
		if errors.Is(err, zodbtest.ErrUndo) {
			s.say("  it can't be")
			return nil
		}
		return err
	case n < 16:
		tid, zoid := s.next(), 1+s.rand.Int64N(siteObjects-1)
		s.say("whiteout %d of %d", tid, zoid)
		_, err := s.Commit(ctx, tid, map[int64][]byte{zoid: nil})
		return err
	case n < 17:
		zoid := 1 + s.rand.Int64N(siteObjects-1)
		s.say("delete %d in place", zoid)
		return s.DeleteInPlace(ctx, zoid)
	case n < 19:
		tid, objects, packed := s.some(), s.objects(), s.rand.IntN(3) == 0
		s.tid = max(s.tid, tid)
		s.say("restore %d, packed %v: %v", tid, packed, sortedKeys(objects))
		return s.Restore(ctx, tid, packed, objects, nil)
	case n < 20:
		return s.otherPack(ctx, s.some())
	default:
		return s.vote(ctx)
	}
}

// meanwhile does something beside a trim, and adds what it wrote to what was there
// before.
func (s *site) meanwhile(ctx context.Context, before *Storage) error {
	then, err := Load(ctx, s.Conn)
	if err != nil {
		return err
	}
	switch {
	case s.voter.zoid > 0:
		err = s.finish(ctx)
	case s.rand.IntN(2) == 0:
		tid, objects := s.some(), s.objects()
		s.tid = max(s.tid, tid)
		s.say("  meanwhile restore %d: %v", tid, sortedKeys(objects))
		err = s.Restore(ctx, tid, false, objects, nil)
	default:
		tid, objects := s.next(), s.objects()
		s.say("  meanwhile commit %d: %v", tid, sortedKeys(objects))
		_, err = s.Commit(ctx, tid, objects)
	}
	return errors.Join(err, s.add(ctx, then, before))
}

// add enters into before what was written since then.
func (s *site) add(ctx context.Context, then, before *Storage) error {
	now, err := Load(ctx, s.Conn)
	if err != nil {
		return err
	}
	for zoid, revisions := range now.Revisions {
		for _, r := range revisions {
			was, there := find(then.Revisions[zoid], r.Tid)
			if !there || !bytes.Equal(was.State, r.State) || was.PrevTid != r.PrevTid {
				before.put(r)
			}
		}
	}
	maps.Copy(before.Current, now.Current)
	for tid := range now.Packed {
		if _, there := before.Packed[tid]; !there {
			before.Packed[tid] = false
		}
	}
	return nil
}

// put enters a revision, or replaces it.
func (s *Storage) put(r Revision) {
	all := slices.DeleteFunc(slices.Clone(s.Revisions[r.Zoid]), func(old Revision) bool { return old.Tid == r.Tid })
	all = append(all, r)
	slices.SortFunc(all, func(a, b Revision) int { return cmp.Compare(a.Tid, b.Tid) })
	s.Revisions[r.Zoid] = all
}

func sortedKeys(objects map[int64][]byte) []int64 {
	var keys []int64
	for zoid := range objects {
		keys = append(keys, zoid)
	}
	slices.Sort(keys)
	return keys
}

func (s *site) existing(ctx context.Context) (tid int64) {
	_ = s.Conn.QueryRow(ctx, "SELECT coalesce(max(tid), 0) FROM transaction WHERE tid <= $1", s.tid-s.rand.Int64N(12)).Scan(&tid)
	return tid
}

// otherPack removes what zodbpack with pack-gc false does.
func (s *site) otherPack(ctx context.Context, tid int64) error {
	s.say("zodbpack up to %d", tid)
	_, err := s.Conn.Exec(ctx, fmt.Sprintf(`
		UPDATE transaction SET packed = true WHERE tid > 0 AND tid <= %d;
		DELETE FROM object_state AS old
		USING current_object
		WHERE old.tid <= %[1]d AND current_object.zoid = old.zoid AND current_object.tid <> old.tid
		  AND EXISTS (SELECT FROM object_state AS newer WHERE newer.zoid = old.zoid AND newer.tid > old.tid AND newer.tid <= %[1]d)
		  AND NOT EXISTS (SELECT FROM object_state AS later WHERE later.zoid = old.zoid AND later.prev_tid = old.tid AND later.tid > %[1]d);
		UPDATE object_state SET prev_tid = 0
		WHERE tid <= %[1]d AND prev_tid <> 0 AND NOT EXISTS (SELECT FROM object_state AS other WHERE other.tid = object_state.prev_tid);
		DELETE FROM transaction
		WHERE tid > 0 AND tid <= %[1]d AND tid < (SELECT max(tid) FROM transaction)
		  AND NOT EXISTS (SELECT FROM object_state WHERE object_state.tid = transaction.tid)
		  AND NOT EXISTS (SELECT FROM object_state WHERE object_state.prev_tid = transaction.tid)`, tid))
	return err
}
