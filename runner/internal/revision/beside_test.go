package revision

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/zodbtest"
)

// A voter is a client between its vote and its finish: it has locked an object, and
// found that what it loaded is current.
type voter struct {
	conn   *pgx.Conn
	zoid   int64 // 0: nobody has voted
	loaded int64 // the revision that it will name
	undone bool  // what that wrote
}

func (s *site) vote(ctx context.Context) error {
	v := s.voter
	v.undone = false
	v.zoid = 1 + s.rand.Int64N(siteObjects-1)
	if _, err := v.conn.Exec(ctx, "BEGIN"); err != nil {
		return err
	}
	s.say("vote for %d", v.zoid)
	return v.conn.QueryRow(ctx, `SELECT coalesce((SELECT tid FROM current_object WHERE zoid = $1), 0)
		FROM (SELECT pg_advisory_xact_lock($1)) AS locked`, v.zoid).Scan(&v.loaded)
}

// undoBesideVote writes the object that somebody has locked: an undo locks none.
func (s *site) undoBesideVote(ctx context.Context) error {
	tid := s.next()
	s.say("undo %d as %d", s.voter.loaded, tid)
	_, err := s.Undo(ctx, s.voter.loaded, tid)
	if errors.Is(err, zodbtest.ErrUndo) {
		s.say("  it can't be")
		return nil
	}
	s.voter.undone = true
	return err
}

// finish is the second phase of who has voted.
func (s *site) finish(ctx context.Context) error {
	v, tid, state := s.voter, s.next(), s.state()
	s.say("finish %d of %d after %d", tid, v.zoid, v.loaded)
	var failed error
	for _, statement := range []struct {
		sql  string
		args []any
	}{
		{"SELECT pg_advisory_xact_lock(-1)", nil},
		{"INSERT INTO transaction (tid, username, description) VALUES ($1, '', '')", []any{tid}},
		{"INSERT INTO object_state VALUES ($1, $2, $3, md5($4::bytea), length($4::bytea), $4::bytea)", []any{v.zoid, tid, v.loaded, state}},
		{"INSERT INTO current_object VALUES ($1, $2) ON CONFLICT (zoid) DO UPDATE SET tid = excluded.tid", []any{v.zoid, tid}},
		{"COMMIT", nil},
	} {
		_, err := v.conn.Exec(ctx, statement.sql, statement.args...)
		failed = errors.Join(failed, err)
	}
	v.zoid, v.undone = 0, false
	return failed
}

// hold lets a test do something when a batch is judged, and its DELETE begins.
const hold = `CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS $$
	BEGIN
		PERFORM pg_advisory_xact_lock_shared(7777, 1);
		RETURN NULL;
	END $$;
	CREATE TRIGGER hold BEFORE DELETE ON object_state FOR EACH STATEMENT EXECUTE FUNCTION hold()`

// besideDelete restores one of the revisions that go, and then one that names it, when
// a batch is judged and its DELETE has begun.
func (s *site) besideDelete(ctx context.Context, zoid, tid int64, before *Storage, call func() error) error {
	then, err := Load(ctx, s.Conn)
	if err != nil {
		return err
	}
	if _, err := s.Conn.Exec(ctx, "SELECT pg_advisory_lock(7777, 1)"); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- call() }()
	waits, ended := false, false
	var failed error
	for !waits && !ended {
		select {
		case failed = <-done:
			ended = true
		case <-time.After(2 * time.Millisecond):
			if err := s.Conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_locks WHERE classid = 7777 AND NOT granted)").Scan(&waits); err != nil {
				return err
			}
		}
	}
	if waits {
		naming := s.some()
		for naming == tid {
			naming++
		}
		s.tid = max(s.tid, naming)
		s.say("  beside a DELETE restore %d and %d of %d", tid, naming, zoid)
		if s.rand.IntN(2) == 0 {
			err = s.Restore(ctx, tid, true, map[int64][]byte{zoid: s.state()}, nil)
		} else { // what was written meanwhile is not deleted: here, what names it alone
			_, err = s.Conn.Exec(ctx, "UPDATE current_object SET tid = $2 WHERE zoid = $1 AND EXISTS (SELECT FROM object_state WHERE zoid = $1 AND tid = $2)", zoid, tid)
		}
		err = errors.Join(err, s.Restore(ctx, naming, false, map[int64][]byte{zoid: s.state()}, nil), s.add(ctx, then, before))
	}
	if _, unlocked := s.Conn.Exec(ctx, "SELECT pg_advisory_unlock(7777, 1)"); unlocked != nil {
		return unlocked
	}
	if !ended {
		failed = <-done
	}
	if err != nil {
		return err
	}
	return failed
}
