package revision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/pgtest"
)

// A worker plays histories in one database, one after the other.
type worker struct {
	site, voter, pack *pgx.Conn
	dsn               string
}

func newWorker(t *testing.T) *worker {
	t.Helper()
	db := pgtest.NewDatabase(t)
	w := &worker{site: db.Connect(t), voter: db.Connect(t), pack: db.Connect(t), dsn: db.DSN}
	if _, err := w.site.Exec(t.Context(), hold); err != nil {
		t.Fatal(err)
	}
	return w
}

const emptied = `TRUNCATE object_state, current_object, transaction, blob_chunk, relpack.emptied, relpack.blob_removal;
	INSERT INTO transaction (tid, username, description) VALUES (0, '', '')`

// play plays a history: the site writes, packs trim, some are killed, and after each
// that is not the storage must be what the rule says. The packer's trims begin anew
// after a kill, on another session.
func (w *worker) play(ctx context.Context, seed uint64) error {
	for _, conn := range []*pgx.Conn{w.voter, w.pack, w.site} {
		if _, err := conn.Exec(ctx, "ROLLBACK; SELECT pg_advisory_unlock_all()"); err != nil {
			return err
		}
	}
	if _, err := w.site.Exec(ctx, emptied); err != nil {
		return err
	}
	s := newSite(w.site, w.voter, seed)
	p := &packer{conn: w.pack, rand: rand.New(rand.NewPCG(seed, 11)), act: func() error { return nil }}
	for range 3 {
		for range 6 + s.rand.IntN(18) {
			if err := s.step(ctx); err != nil {
				return fmt.Errorf("seed %d: %w\n%s", seed, err, strings.Join(s.log, "\n"))
			}
			if s.voter.undone {
				break
			}
		}
		if err := w.trimAndCompare(ctx, s, p); err != nil {
			return fmt.Errorf("seed %d: %w\n%s", seed, err, strings.Join(s.log, "\n"))
		}
	}
	return nil
}

func (w *worker) trimAndCompare(ctx context.Context, s *site, p *packer) error {
	before, err := Load(ctx, s.Conn)
	if err != nil {
		return err
	}
	until := s.until(ctx)
	s.say("trim up to %d", until)
	p.live = s.rand.IntN(4)
	busy := s.rand.IntN(3) == 0 // the site goes on meanwhile
	p.act = func() error {
		if s.rand.IntN(5) > 0 || (!busy && s.voter.zoid == 0) {
			return nil
		}
		p.acts++
		return s.meanwhile(ctx, before)
	}
	p.beside = nil
	if busy {
		p.beside = func(zoid, tid int64, call func() error) error {
			p.acts++
			return s.besideDelete(ctx, zoid, tid, before, call)
		}
	}
	for {
		err = p.trim(ctx, until)
		if _, unlocked := p.conn.Exec(ctx, "SELECT relpack.release_pack_lock()"); unlocked != nil {
			return errors.Join(err, unlocked)
		}
		if s.voter.zoid > 0 {
			if err := s.meanwhile(ctx, before); err != nil {
				return err
			}
		}
		after, loaded := Load(ctx, s.Conn)
		if loaded != nil {
			return loaded
		}
		if wrong := loads(before, after, until, s.tid); wrong != nil {
			return errors.Join(wrong, err)
		}
		if wrong := w.undoAll(ctx, s, before, until); wrong != nil {
			return errors.Join(wrong, err)
		}
		if errors.As(err, &killed{}) {
			s.say("  killed")
			continue
		}
		if err != nil {
			return err
		}
		if _, err := s.Conn.Exec(ctx, "UPDATE relpack.emptied SET since = since - interval '8 days'"); err != nil || busy {
			return err
		}
		return compare(before, after, until)
	}
}

// until is a pack time as relpack caps it: none is later than the newest transaction.
func (s *site) until(ctx context.Context) (tid int64) {
	until := s.some()
	if s.voter.undone {
		until = s.tid
	}
	_ = s.Conn.QueryRow(ctx, "SELECT least($1, max(tid)) FROM transaction", until).Scan(&tid)
	return tid
}

// undoAll undoes every transaction since the pack time that can be undone, each in a
// transaction that is rolled back: the state before it must be there.
func (w *worker) undoAll(ctx context.Context, s *site, before *Storage, until int64) error {
	for tid := range before.Packed {
		if tid <= until {
			continue
		}
		u, err := s.BeginUndo(ctx, tid, s.tid+100)
		if err != nil {
			continue
		}
		err = s.undone(ctx, before, tid)
		if aborted := u.Abort(ctx); aborted != nil {
			return aborted
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// undone looks at an undo from inside: it gives each object the state that it would
// have given it before the trim.
func (s *site) undone(ctx context.Context, before *Storage, undone int64) error {
	for _, revisions := range before.Revisions {
		for _, r := range revisions {
			if r.Tid != undone {
				continue
			}
			was, _ := find(revisions, r.PrevTid)
			var state []byte
			if err := s.Conn.QueryRow(ctx, `SELECT state FROM object_state WHERE zoid = $1 AND tid = $2`,
				r.Zoid, s.tid+100).Scan(&state); err != nil {
				return err
			}
			if !bytes.Equal(state, was.State) {
				return fmt.Errorf("undo of %d gives %d %d bytes, gave %d: the state at %d", undone, r.Zoid, len(state), len(was.State), r.PrevTid)
			}
		}
	}
	return nil
}

func find(revisions []Revision, tid int64) (Revision, bool) {
	for _, r := range revisions {
		if r.Tid == tid {
			return r, true
		}
	}
	return Revision{}, false
}

// Histories are those of the seeds from RELPACK_SEED on (default 1), RELPACK_HISTORIES
// of them.
func TestEveryTrimKeepsWhatTheRuleSays(t *testing.T) {
	t.Parallel()
	start := time.Now()
	most, seed := pgtest.Number(t, "RELPACK_HISTORIES", 60), pgtest.Number(t, "RELPACK_SEED", 1)
	var next atomic.Int64
	var group sync.WaitGroup
	for range 3 {
		w := newWorker(t)
		group.Go(func() {
			for n := next.Add(1) - 1; n < most && !t.Failed(); n = next.Add(1) - 1 {
				if err := w.play(t.Context(), uint64(seed+n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	t.Logf("%d histories in %v, of seeds %d to %d", most, time.Since(start).Round(time.Millisecond), seed, seed+most-1)
}
