package zodbtest

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// historyTables are those of a history-preserving storage of RelStorage 1.5 and
// later. A row of object_state is a revision. %s is the name of a column that 3.0 renamed.
const historyTables = `
CREATE TABLE transaction (
    tid bigint PRIMARY KEY,
    packed boolean NOT NULL DEFAULT false,
    %s boolean NOT NULL DEFAULT false,
    username bytea NOT NULL,
    description bytea NOT NULL,
    extension bytea
);
INSERT INTO transaction (tid, username, description) VALUES (0, 'system', 'special transaction for object creation');
CREATE TABLE object_state (
    zoid bigint NOT NULL,
    tid bigint NOT NULL REFERENCES transaction CHECK (tid > 0),
    prev_tid bigint NOT NULL REFERENCES transaction,
    md5 char(32),
    state_size bigint NOT NULL CHECK (state_size >= 0),
    state bytea,
    %s PRIMARY KEY (zoid, tid)
);
CREATE INDEX object_state_tid ON object_state (tid);
CREATE INDEX object_state_prev_tid ON object_state (prev_tid);
CREATE TABLE current_object (
    zoid bigint PRIMARY KEY,
    tid bigint NOT NULL,
    FOREIGN KEY (zoid, tid) REFERENCES object_state (zoid, tid)
);
CREATE INDEX current_object_tid ON current_object (tid);
`

const historyBlobs = `
CREATE TABLE blob_chunk (
    zoid bigint NOT NULL,
    tid bigint NOT NULL,
    chunk_num bigint NOT NULL,
    chunk oid NOT NULL,
    PRIMARY KEY (zoid, tid, chunk_num),
    FOREIGN KEY (zoid, tid) REFERENCES object_state (zoid, tid) ON DELETE CASCADE
);
CREATE INDEX blob_chunk_lookup ON blob_chunk (zoid, tid);

CREATE FUNCTION blob_chunk_delete_trigger()
RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    -- An undo gives the new revision the large object of an old one.
    IF (SELECT count(*) FROM blob_chunk WHERE chunk = OLD.chunk) = 1 THEN
        PERFORM lo_unlink(OLD.chunk);
    END IF;
    RETURN OLD;
END
$$;
CREATE TRIGGER blob_chunk_delete
    BEFORE DELETE ON blob_chunk
    FOR EACH ROW EXECUTE FUNCTION blob_chunk_delete_trigger();
`

const currentView = `
CREATE VIEW current_object_state AS
SELECT object_state.*
FROM object_state
JOIN current_object ON current_object.zoid = object_state.zoid AND current_object.tid = object_state.tid;
`

// historyScratch are the tables of zodbpack itself.
const historyScratch = `
CREATE TABLE object_ref (
    zoid bigint NOT NULL,
    tid bigint NOT NULL,
    to_zoid bigint NOT NULL,
    PRIMARY KEY (tid, zoid, to_zoid)
);
CREATE TABLE object_refs_added (tid bigint PRIMARY KEY);
CREATE TABLE pack_object (
    zoid bigint PRIMARY KEY,
    keep boolean NOT NULL,
    keep_tid bigint NOT NULL,
    visited boolean NOT NULL DEFAULT false
);
CREATE TABLE pack_state (
    tid bigint NOT NULL,
    zoid bigint NOT NULL,
    PRIMARY KEY (tid, zoid)
);
CREATE TABLE pack_state_tid (tid bigint PRIMARY KEY);
CREATE SEQUENCE zoid_seq;
`

// historyLocks is lockFunction of a history-preserving storage: what is current is
// told by current_object.
const historyLocks = `
CREATE FUNCTION lock_objects_and_detect_conflicts(read_zoids bigint[], read_tids bigint[])
RETURNS TABLE (zoid bigint, tid bigint, prev_tid bigint, committed_state bytea)
LANGUAGE plpgsql
AS $$
DECLARE
    v_zoid bigint;
BEGIN
    FOR v_zoid IN SELECT temp_store.zoid FROM temp_store ORDER BY 1 LOOP
        %s
    END LOOP;
    RETURN QUERY
        SELECT stored.zoid, stored.tid, temp_store.prev_tid, stored.state
        FROM temp_store
            JOIN current_object_state AS stored ON stored.zoid = temp_store.zoid
        WHERE stored.tid <> temp_store.prev_tid;
END
$$;
`

// CreateHistory creates an empty history-preserving storage as RelStorage of this
// version lays it out, in the connection's first schema.
func CreateHistory(ctx context.Context, conn *pgx.Conn, version Version) error {
	empty, key := "is_empty", "CONSTRAINT object_state_pk"
	if version < V30 {
		empty, key = "empty", "" // constraints have PostgreSQL's own names
	}
	parts := []string{fmt.Sprintf(historyTables, empty, key), historyBlobs, historyScratch}
	switch {
	case version >= V35:
		parts = append(parts, currentView, commitRowLock, fmt.Sprintf(historyLocks, lockByAdvisoryLock))
	case version >= V30:
		lock := "PERFORM 1 FROM current_object WHERE current_object.zoid = v_zoid FOR UPDATE;"
		parts = append(parts, currentView, commitRowLock, fmt.Sprintf(historyLocks, lock))
	default:
		parts = append(parts, lockTables, blobIndex)
	}
	return createAll(ctx, conn, "history-preserving storage of RelStorage "+version.String(), parts)
}
