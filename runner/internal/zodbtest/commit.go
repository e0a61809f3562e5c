package zodbtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Transaction is a commit under way, step by step as RelStorage takes them:
// BEGIN, fill temp_store, vote (lock the objects), finish (take the commit
// lock, choose the tid, move the rows, COMMIT). A test that needs a writer in
// the middle of its commit stops between two steps.
type Transaction struct {
	tx      pgx.Tx
	version Version
}

// BeginCommit starts a commit of a client of this RelStorage version. The
// isolation level is READ COMMITTED, as for all of RelStorage's writers.
func BeginCommit(ctx context.Context, conn *pgx.Conn, version Version) (*Transaction, error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return nil, fmt.Errorf("begin a commit: %w", err)
	}
	t := &Transaction{tx, version}
	if _, err := tx.Exec(ctx, `
		CREATE TEMPORARY TABLE IF NOT EXISTS temp_store (
			zoid bigint PRIMARY KEY,
			prev_tid bigint NOT NULL,
			md5 char(32),
			state bytea
		) ON COMMIT DELETE ROWS`); err != nil {
		return nil, errors.Join(fmt.Errorf("create temp_store: %w", err), t.Abort(ctx))
	}
	return t, nil
}

// Store puts states into temp_store; a nil state is that of an undone creation.
func (t *Transaction) Store(ctx context.Context, objects map[int64][]byte) error {
	rows := make([][]any, 0, len(objects))
	for zoid, state := range objects {
		rows = append(rows, []any{zoid, int64(0), state})
	}
	if _, err := t.tx.CopyFrom(ctx, pgx.Identifier{"temp_store"},
		[]string{"zoid", "prev_tid", "state"}, pgx.CopyFromRows(rows)); err != nil {
		return fmt.Errorf("fill temp_store: %w", err)
	}
	return nil
}

// Vote locks the stored objects where the version does that.
func (t *Transaction) Vote(ctx context.Context) error {
	if t.version < V30 {
		return nil
	}
	if _, err := t.tx.Exec(ctx, "SELECT * FROM lock_objects_and_detect_conflicts(NULL, NULL)"); err != nil {
		return fmt.Errorf("lock the objects of a commit: %w", err)
	}
	return nil
}

// LockCommits takes the version's commit lock, which is held until the end of
// the transaction. Before 3.0 the table of objects is locked as well, against
// all who write (PostgreSQLLocker.hold_commit_lock, ensure_current).
func (t *Transaction) LockCommits(ctx context.Context) error {
	statement := "LOCK TABLE commit_lock IN EXCLUSIVE MODE; LOCK TABLE object_state IN SHARE MODE"
	switch {
	case t.version >= V35:
		statement = "SELECT pg_advisory_xact_lock(-1)"
	case t.version >= V30:
		statement = "SELECT tid FROM commit_row_lock FOR UPDATE"
	}
	if _, err := t.tx.Exec(ctx, statement); err != nil {
		return fmt.Errorf("take the commit lock of RelStorage %s: %w", t.version, err)
	}
	return nil
}

// Move writes temp_store into object_state under tid. Tid 0 stands for the one
// that RelStorage would choose: now, or one more than the last. It returns the
// tid. The commit lock must be held.
func (t *Transaction) Move(ctx context.Context, tid int64) (int64, error) {
	if tid == 0 {
		var last int64
		if err := t.tx.QueryRow(ctx, "SELECT coalesce(max(tid), 0) FROM object_state").Scan(&last); err != nil {
			return 0, fmt.Errorf("choose a tid: %w", err)
		}
		tid = max(TimeTid(time.Now()), last+1)
	}
	upsert := "ON CONFLICT (zoid) DO UPDATE SET tid = excluded.tid, state_size = excluded.state_size, state = excluded.state"
	if t.version < V21 {
		upsert = ""
		if _, err := t.tx.Exec(ctx, "DELETE FROM object_state WHERE zoid IN (SELECT zoid FROM temp_store)"); err != nil {
			return 0, fmt.Errorf("replace objects: %w", err)
		}
	}
	if _, err := t.tx.Exec(ctx, `
		INSERT INTO object_state (zoid, tid, state_size, state)
		SELECT zoid, $1, coalesce(length(state), 0), state
		FROM temp_store
		ORDER BY zoid
		`+upsert, tid); err != nil {
		return 0, fmt.Errorf("store objects under tid %d: %w", tid, err)
	}
	return tid, nil
}

// Finish is LockCommits, Move and COMMIT.
func (t *Transaction) Finish(ctx context.Context, tid int64) (int64, error) {
	if err := t.LockCommits(ctx); err != nil {
		return 0, errors.Join(err, t.Abort(ctx))
	}
	tid, err := t.Move(ctx, tid)
	if err != nil {
		return 0, errors.Join(err, t.Abort(ctx))
	}
	return tid, t.Commit(ctx)
}

// Commit ends the transaction.
func (t *Transaction) Commit(ctx context.Context) error {
	if err := t.tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// Abort rolls back.
func (t *Transaction) Abort(ctx context.Context) error { return t.tx.Rollback(ctx) }

// Commit stores objects under tid in one transaction, as RelStorage 4.2 does.
func Commit(ctx context.Context, conn *pgx.Conn, tid int64, objects map[int64][]byte) error {
	_, err := CommitAs(ctx, conn, V42, tid, objects)
	return err
}

// CommitNow is Commit under the tid that RelStorage would choose, which it
// returns.
func CommitNow(ctx context.Context, conn *pgx.Conn, objects map[int64][]byte) (int64, error) {
	return CommitAs(ctx, conn, V42, 0, objects)
}

// CommitAs stores objects as a client of this RelStorage version does, and
// returns the tid: the given one, or a chosen one for 0.
func CommitAs(ctx context.Context, conn *pgx.Conn, version Version, tid int64, objects map[int64][]byte) (int64, error) {
	t, err := BeginCommit(ctx, conn, version)
	if err != nil {
		return 0, err
	}
	if err := t.Store(ctx, objects); err != nil {
		return 0, errors.Join(err, t.Abort(ctx))
	}
	if err := t.Vote(ctx); err != nil {
		return 0, errors.Join(err, t.Abort(ctx))
	}
	return t.Finish(ctx, tid)
}

// NextTid is the tid that the next commit would get: now, or one more than the
// highest stored.
func NextTid(ctx context.Context, conn *pgx.Conn) (int64, error) {
	var last int64
	if err := conn.QueryRow(ctx, "SELECT coalesce(max(tid), 0) FROM object_state").Scan(&last); err != nil {
		return 0, fmt.Errorf("read the highest tid: %w", err)
	}
	return max(TimeTid(time.Now()), last+1), nil
}
