package zodbtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A History writes to a history-preserving storage as RelStorage of a version does.
type History struct {
	Conn    *pgx.Conn
	Version Version
}

// lockCommits takes the version's commit lock. Up to 2.x that locks the tables of
// transactions and of current objects as well, against all who write.
func (h History) lockCommits(ctx context.Context, tx pgx.Tx) error {
	statement := "LOCK TABLE commit_lock IN EXCLUSIVE MODE; LOCK TABLE transaction IN SHARE MODE; LOCK TABLE current_object IN SHARE MODE"
	switch {
	case h.Version >= V35:
		statement = "SELECT pg_advisory_xact_lock(-1)"
	case h.Version >= V30:
		statement = "SELECT tid FROM commit_row_lock FOR UPDATE"
	}
	_, err := tx.Exec(ctx, statement)
	return err
}

// begin locks commits and enters a transaction: under tid, or for 0 under the one
// that RelStorage would choose.
func (h History) begin(ctx context.Context, tx pgx.Tx, tid int64) (int64, error) {
	if err := h.lockCommits(ctx, tx); err != nil {
		return 0, err
	}
	if tid == 0 {
		var last int64
		if err := tx.QueryRow(ctx, "SELECT max(tid) FROM transaction").Scan(&last); err != nil {
			return 0, err
		}
		tid = max(TimeTid(time.Now()), last+1)
	}
	_, err := tx.Exec(ctx, "INSERT INTO transaction (tid, username, description) VALUES ($1, '\\xff', '')", tid)
	return tid, err
}

const moveCurrent = `
	INSERT INTO current_object (zoid, tid)
	SELECT zoid, tid FROM object_state WHERE tid = $1 ORDER BY zoid
	ON CONFLICT (zoid) DO UPDATE SET tid = excluded.tid`

// Commit stores a revision of each object; a nil state is a whiteout (deleteObject
// of 4.0 and later). Tid 0 stands for the one that RelStorage would choose.
func (h History) Commit(ctx context.Context, tid int64, objects map[int64][]byte) (int64, error) {
	return h.CommitBlobs(ctx, tid, objects, nil)
}

// CommitBlobs is Commit with the chunks of blobs among the objects, which are kept
// in the database.
func (h History) CommitBlobs(ctx context.Context, tid int64, objects map[int64][]byte, chunks map[int64][][]byte) (int64, error) {
	err := pgx.BeginTxFunc(ctx, h.Conn, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) (err error) {
		if tid, err = h.begin(ctx, tx, tid); err != nil {
			return err
		}
		for zoid, state := range objects {
			if _, err := tx.Exec(ctx, `
				INSERT INTO object_state (zoid, tid, prev_tid, md5, state_size, state)
				VALUES ($1, $2, coalesce((SELECT tid FROM current_object WHERE zoid = $1), 0),
				        CASE WHEN $3::bytea IS NOT NULL THEN md5($3) END, coalesce(length($3), 0), $3)`, zoid, tid, state); err != nil {
				return err
			}
		}
		if err := storeChunks(ctx, tx, tid, chunks); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, moveCurrent, tid)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("commit revisions: %w", err)
	}
	return tid, nil
}

func storeChunks(ctx context.Context, tx pgx.Tx, tid int64, chunks map[int64][][]byte) error {
	for zoid, parts := range chunks {
		for i, part := range parts {
			if _, err := tx.Exec(ctx, `
				INSERT INTO blob_chunk (zoid, tid, chunk_num, chunk)
				VALUES ($1, $2, $3, lo_from_bytea(0, $4))`, zoid, tid, i, part); err != nil {
				return err
			}
		}
	}
	return nil
}

// DeleteInPlace is deleteObject of 3.x: the state goes, the revision stays.
func (h History) DeleteInPlace(ctx context.Context, zoid int64) error {
	_, err := h.Conn.Exec(ctx, `
		UPDATE object_state SET state = NULL, state_size = 0, md5 = NULL
		WHERE zoid = $1 AND tid = (SELECT tid FROM current_object WHERE zoid = $1)`, zoid)
	return err
}

// Restore stores revisions under their original tid, as zodbconvert does: it asks
// nobody, takes no pack lock, and what it restores becomes current.
func (h History) Restore(ctx context.Context, tid int64, packed bool, objects map[int64][]byte, chunks map[int64][][]byte) error {
	err := pgx.BeginTxFunc(ctx, h.Conn, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if h.Version >= V30 {
			if _, err := tx.Exec(ctx, "SELECT tid FROM commit_row_lock FOR UPDATE"); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, `
			INSERT INTO transaction (tid, packed, username, description) VALUES ($1, $2, '', '')
			ON CONFLICT (tid) DO UPDATE SET packed = excluded.packed`, tid, packed); err != nil {
			return err
		}
		for zoid, state := range objects {
			if _, err := tx.Exec(ctx, `
				INSERT INTO object_state (zoid, tid, prev_tid, md5, state_size, state)
				VALUES ($1, $2, coalesce((SELECT tid FROM current_object WHERE zoid = $1), 0),
				        CASE WHEN $3::bytea IS NOT NULL THEN md5($3) END, coalesce(length($3), 0), $3)
				ON CONFLICT (zoid, tid) DO UPDATE
				SET prev_tid = excluded.prev_tid, md5 = excluded.md5, state_size = excluded.state_size, state = excluded.state`,
				zoid, tid, state); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "DELETE FROM blob_chunk WHERE zoid = $1 AND tid = $2", zoid, tid); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `
				INSERT INTO current_object (zoid, tid) VALUES ($1, $2)
				ON CONFLICT (zoid) DO UPDATE SET tid = excluded.tid`, zoid, tid); err != nil {
				return err
			}
		}
		return storeChunks(ctx, tx, tid, chunks)
	})
	if err != nil {
		return fmt.Errorf("restore transaction %d: %w", tid, err)
	}
	return nil
}

// ErrUndo is why a transaction can't be undone: a pack runs, it was packed, or what
// it wrote was written again.
var ErrUndo = errors.New("can't be undone")

// An Undo has let go of the pack lock, and has not committed.
type Undo struct {
	tx  pgx.Tx
	Tid int64
}

// BeginUndo writes anew what was there before a transaction.
func (h History) BeginUndo(ctx context.Context, undone, tid int64) (*Undo, error) {
	tx, err := h.Conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return nil, err
	}
	u := &Undo{tx: tx, Tid: tid}
	if err := u.write(ctx, h, undone); err != nil {
		return nil, errors.Join(err, tx.Rollback(ctx))
	}
	return u, nil
}

func (u *Undo) write(ctx context.Context, h History, undone int64) (err error) {
	var got, current bool
	if err := u.tx.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", h.Version.PackLock()).Scan(&got); err != nil {
		return err
	}
	if !got {
		return fmt.Errorf("transaction %d %w: a pack runs", undone, ErrUndo)
	}
	defer func() {
		_, unlocked := u.tx.Exec(ctx, "SELECT pg_advisory_unlock($1)", h.Version.PackLock())
		err = errors.Join(err, unlocked)
	}()
	if u.Tid, err = h.begin(ctx, u.tx, u.Tid); err != nil {
		return err
	}
	// What is current has the state that the transaction wrote, be it by another undo. The
	// root is not un-created.
	if err := u.tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM transaction WHERE tid = $1 AND NOT packed)
		       AND EXISTS (SELECT FROM object_state WHERE tid = $1)
		       AND NOT EXISTS (
		           SELECT
		           FROM object_state AS undone
		           LEFT JOIN current_object ON current_object.zoid = undone.zoid
		           LEFT JOIN object_state AS current ON current.zoid = undone.zoid AND current.tid = current_object.tid
		           WHERE undone.tid = $1 AND current.tid IS DISTINCT FROM $1 AND current.md5 <> undone.md5)
		       AND NOT EXISTS (
		           SELECT
		           FROM object_state AS undone
		           LEFT JOIN object_state AS before ON before.zoid = undone.zoid AND before.tid = undone.prev_tid
		           WHERE undone.tid = $1 AND undone.zoid = 0 AND before.state IS NULL)`,
		undone).Scan(&current); err != nil {
		return err
	}
	if !current {
		return fmt.Errorf("transaction %d %w", undone, ErrUndo)
	}
	if _, err = u.tx.Exec(ctx, `
		INSERT INTO object_state (zoid, tid, prev_tid, md5, state_size, state)
		SELECT undone.zoid, $2, current_object.tid, before.md5, coalesce(length(before.state), 0), before.state
		FROM object_state AS undone
		JOIN current_object ON current_object.zoid = undone.zoid
		LEFT JOIN object_state AS before ON before.zoid = undone.zoid AND before.tid = undone.prev_tid
		WHERE undone.tid = $1`, undone, u.Tid); err != nil {
		return err
	}
	if _, err = u.tx.Exec(ctx, `
		INSERT INTO blob_chunk (zoid, tid, chunk_num, chunk)
		SELECT blob_chunk.zoid, $2, blob_chunk.chunk_num, blob_chunk.chunk
		FROM object_state AS undone
		JOIN object_state AS written ON written.zoid = undone.zoid AND written.tid = $2
		JOIN blob_chunk ON blob_chunk.zoid = undone.zoid AND blob_chunk.tid = undone.prev_tid
		WHERE undone.tid = $1`, undone, u.Tid); err != nil {
		return err
	}
	_, err = u.tx.Exec(ctx, moveCurrent, u.Tid)
	return err
}

// Commit ends the undo.
func (u *Undo) Commit(ctx context.Context) error { return u.tx.Commit(ctx) }

// Abort rolls it back.
func (u *Undo) Abort(ctx context.Context) error { return u.tx.Rollback(ctx) }

// Undo is BeginUndo and COMMIT; it returns the tid of the new transaction.
func (h History) Undo(ctx context.Context, undone, tid int64) (int64, error) {
	u, err := h.BeginUndo(ctx, undone, tid)
	if err != nil {
		return 0, err
	}
	return u.Tid, u.Commit(ctx)
}
