package zodbtest

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Version is a line of RelStorage releases whose history-free storages look
// and lock alike.
type Version int

// The versions differ in how a commit, an object and a pack are locked.
const (
	V15 Version = iota // 1.5 to 2.0: table commit_lock, pack lock 1; a commit deletes rows and inserts them again
	V21                // 2.1: as 1.5, but a commit upserts
	V30                // 3.0 to 3.4: row locks, table commit_row_lock, pack lock 1
	V35                // 3.5: advisory locks: -1 to commit, zoid for an object, -2 to pack
	V42                // 4.2: as 3.5
)

// String is the version as RelStorage writes it.
func (v Version) String() string {
	return [...]string{"1.5", "2.1", "3.0", "3.5", "4.2"}[v]
}

// PackLock is the key of the advisory lock that this version holds to pack.
func (v Version) PackLock() int64 {
	if v >= V35 {
		return -2
	}
	return 1
}

const objectState = `
CREATE TABLE object_state (
    zoid bigint PRIMARY KEY,
    tid bigint NOT NULL CHECK (tid > 0),
    state_size bigint NOT NULL CHECK (state_size >= 0),
    state bytea
);
CREATE INDEX object_state_tid ON object_state (tid);
`

// historyFreeBlobs keeps each blob's chunks as large objects, which a row
// trigger unlinks together with the row.
const historyFreeBlobs = `
CREATE TABLE blob_chunk (
    zoid bigint NOT NULL,
    chunk_num bigint NOT NULL,
    tid bigint NOT NULL,
    chunk oid NOT NULL,
    PRIMARY KEY (zoid, chunk_num),
    CONSTRAINT blob_chunk_fk FOREIGN KEY (zoid)
        REFERENCES object_state (zoid)
        ON DELETE CASCADE
);
CREATE INDEX blob_chunk_lookup ON blob_chunk (zoid);

CREATE FUNCTION blob_chunk_delete_trigger()
RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    -- One large object may serve several chunk rows; the last one takes it along.
    PERFORM 1 FROM blob_chunk
    WHERE chunk = OLD.chunk
        AND (zoid, chunk_num) <> (OLD.zoid, OLD.chunk_num);
    IF NOT FOUND THEN
        PERFORM lo_unlink(OLD.chunk);
    END IF;
    RETURN OLD;
END
$$;
CREATE TRIGGER blob_chunk_delete
    BEFORE DELETE ON blob_chunk
    FOR EACH ROW EXECUTE FUNCTION blob_chunk_delete_trigger();
`

// blobIndex is what only RelStorage before 3.0 creates.
const blobIndex = `
CREATE INDEX blob_chunk_loid ON blob_chunk (chunk);
`

// packScratch are the tables of zodbpack itself.
const packScratch = `
CREATE TABLE object_ref (
    zoid bigint NOT NULL,
    to_zoid bigint NOT NULL,
    tid bigint NOT NULL,
    PRIMARY KEY (zoid, to_zoid)
);
CREATE TABLE object_refs_added (
    zoid bigint PRIMARY KEY,
    tid bigint NOT NULL
);
CREATE TABLE pack_object (
    zoid bigint PRIMARY KEY,
    keep boolean NOT NULL,
    keep_tid bigint NOT NULL,
    visited boolean NOT NULL DEFAULT false
);
CREATE SEQUENCE zoid_seq;
`

// lockTables are those of 1.x and 2.x; the second one is of no use any more.
const lockTables = `
CREATE TABLE commit_lock ();
CREATE TABLE pack_lock ();
`

const commitRowLock = `
CREATE TABLE commit_row_lock (tid bigint PRIMARY KEY);
INSERT INTO commit_row_lock VALUES (0);
`

// lockFunction is what a committing client calls to lock the objects that it
// writes (in temp_store) and those that it only read, and to learn which of
// them somebody else has changed meanwhile. %s locks one object, %s shares one.
const lockFunction = `
CREATE FUNCTION lock_objects_and_detect_conflicts(read_zoids bigint[], read_tids bigint[])
RETURNS TABLE (zoid bigint, tid bigint, prev_tid bigint, committed_state bytea)
LANGUAGE plpgsql
AS $$
DECLARE
    v_zoid bigint;
BEGIN
    FOR v_zoid IN SELECT read_zoid FROM unnest(read_zoids) AS read_zoid ORDER BY 1 LOOP
        %s
    END LOOP;
    FOR v_zoid IN SELECT temp_store.zoid FROM temp_store ORDER BY 1 LOOP
        %s
    END LOOP;
    RETURN QUERY
        SELECT stored.zoid, stored.tid, NULL::bigint, NULL::bytea
        FROM unnest(read_zoids, read_tids) AS seen (zoid, tid)
            JOIN object_state AS stored ON stored.zoid = seen.zoid
        WHERE stored.tid <> seen.tid
        UNION ALL
        SELECT stored.zoid, stored.tid, temp_store.prev_tid, stored.state
        FROM temp_store
            JOIN object_state AS stored ON stored.zoid = temp_store.zoid
        WHERE temp_store.prev_tid <> 0
            AND stored.tid <> temp_store.prev_tid;
END
$$;
`

const (
	shareByAdvisoryLock = `PERFORM pg_advisory_xact_lock_shared(v_zoid);`
	lockByAdvisoryLock  = `PERFORM pg_advisory_xact_lock(v_zoid);`
	shareByRowLock      = `PERFORM 1 FROM object_state WHERE object_state.zoid = v_zoid FOR SHARE;`
	lockByRowLock       = `PERFORM 1 FROM object_state WHERE object_state.zoid = v_zoid FOR UPDATE;`
)

// CreateStorage creates an empty history-free storage as RelStorage of this
// version lays it out, in the connection's first schema.
func CreateStorage(ctx context.Context, conn *pgx.Conn, version Version) error {
	parts := []string{objectState, historyFreeBlobs, packScratch}
	switch {
	case version >= V35:
		parts = append(parts, commitRowLock, fmt.Sprintf(lockFunction, shareByAdvisoryLock, lockByAdvisoryLock))
	case version >= V30:
		parts = append(parts, commitRowLock, fmt.Sprintf(lockFunction, shareByRowLock, lockByRowLock))
	default:
		parts = append(parts, lockTables, blobIndex)
	}
	return createAll(ctx, conn, "history-free storage of RelStorage "+version.String(), parts)
}

// CreateHistoryPreserving is CreateHistory of the newest version.
func CreateHistoryPreserving(ctx context.Context, conn *pgx.Conn) error {
	return CreateHistory(ctx, conn, V42)
}

func createAll(ctx context.Context, conn *pgx.Conn, what string, parts []string) error {
	if _, err := conn.Exec(ctx, strings.Join(parts, "\n")); err != nil {
		return fmt.Errorf("create a %s: %w", what, err)
	}
	return nil
}
