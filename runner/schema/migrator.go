package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	gooselock "github.com/pressly/goose/v3/lock"

	"relpack/runner/fault"
	"relpack/runner/session"
	"relpack/runner/target"
)

// MigrationLock is the advisory lock of goose's session. It must be negative
// and neither of RelStorage's -1 and -2: from 0 up are the locks of objects,
// goose's own default among them.
const MigrationLock = -32199642169600363

// migrationLockSeconds is how long goose tries for it.
const migrationLockSeconds = 5

// A migrator changes the schema of one database. Its first session holds the
// pack lock, so that no pack and no other migrator is at work, and watches the
// second one, which is goose's.
type migrator struct {
	target target.Target
	files  fs.FS
	log    *slog.Logger
	found  *Database
	conn   *pgx.Conn
	db     *sql.DB

	guard sync.Mutex
	pids  []int32 // sessions of db
}

func openMigrator(ctx context.Context, t target.Target, files fs.FS, purpose string, log *slog.Logger) (*migrator, error) {
	if err := t.Migratable(); err != nil {
		return nil, err
	}
	conn, err := session.Open(ctx, t, purpose, log)
	if err != nil {
		return nil, err
	}
	m := &migrator{target: t, files: files, log: log, conn: conn}
	if m.found, err = LookAt(ctx, conn); err != nil {
		session.Close(conn)
		return nil, err
	}
	m.db = stdlib.OpenDB(*conn.Config(), stdlib.OptionAfterConnect(m.prepare))
	m.db.SetMaxOpenConns(1)
	return m, nil
}

// migrationPatience is how long a try waits for a lock.
const migrationPatience = "'200ms'"

// prepare sets up goose's session. All that it makes is to belong to the owner
// of object_state, whichever member of that role migrates. (It keeps nothing from
// that owner: see superuser.go.) Whatever it waits for, it gives up before the
// site queues up behind it; and should this process be stopped while it holds a
// lock, the server ends the session.
func (m *migrator) prepare(ctx context.Context, conn *pgx.Conn) error {
	pid, err := session.Backend(ctx, conn)
	if err != nil {
		return err
	}
	m.guard.Lock()
	m.pids = append(m.pids, int32(pid))
	m.guard.Unlock()
	if err := session.SetUp(ctx, conn); err != nil {
		return err
	}
	owner := m.found.owner
	if owner == "" {
		owner = m.found.migrations
	}
	if owner != "" {
		if _, err := conn.Exec(ctx, "SET ROLE "+quoteName(owner)); err != nil {
			return fmt.Errorf("act as %s, to whom object_state belongs: %w", owner, err)
		}
	}
	_, err = conn.Exec(ctx, "SET lock_timeout = "+migrationPatience+"; SET idle_in_transaction_session_timeout = '2s'")
	return err
}

func (m *migrator) close() {
	// Neither has anything left to say.
	_ = m.db.Close()
	if !m.conn.IsClosed() {
		// See graph.Open: the pack that follows must not meet the lock.
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_, _ = m.conn.Exec(ctx, "SELECT pg_advisory_unlock_all()")
	}
	session.Close(m.conn)
}

// lock takes the pack lock for the session; it ends with it.
func (m *migrator) lock(ctx context.Context) error {
	statement := firstPackLock
	if m.installed(ctx, "try_pack_lock") {
		statement = "SELECT relpack.try_pack_lock()"
	}
	got := false
	if err := m.conn.QueryRow(ctx, statement).Scan(&got); err != nil {
		return fmt.Errorf("take the pack lock: %w", err)
	}
	switch {
	case got:
		return nil
	case m.installed(ctx, "pack_lock_holder"):
		return session.Locked(ctx, m.conn)
	}
	return m.lockHolder(ctx, []int64{-2, 1, 23}, "a pack or another migration is running")
}

// firstPackLock is what relpack.try_pack_lock() does, for a database that has
// no such function yet: on storages of 3.5 and later the keys from 0 up are the
// locks of objects.
const firstPackLock = `
	SELECT CASE
	    WHEN NOT pg_try_advisory_lock(-2) THEN false
	    WHEN EXISTS (
	        SELECT
	        FROM pg_catalog.pg_proc
	        WHERE proname = 'lock_objects_and_detect_conflicts'
	          AND pronamespace = to_regnamespace('public')
	          AND prosrc LIKE '%pg\_advisory\_xact\_lock%') THEN true
	    ELSE pg_try_advisory_lock(1) AND pg_try_advisory_lock(23)
	    END`

// installed tells whether one of relpack's functions without parameters exists.
func (m *migrator) installed(ctx context.Context, function string) bool {
	exists := false
	err := m.conn.QueryRow(ctx, "SELECT to_regprocedure($1) IS NOT NULL", "relpack."+function+"()").Scan(&exists)
	return err == nil && exists
}

// lockHolder makes an error of who holds one of these advisory locks.
func (m *migrator) lockHolder(ctx context.Context, keys []int64, what string) error {
	return session.LockedBy(ctx, m.conn, what, `
		SELECT locks.pid, coalesce(activity.application_name, '')
		FROM pg_catalog.pg_locks AS locks
		LEFT JOIN pg_catalog.pg_stat_activity AS activity ON activity.pid = locks.pid
		WHERE locks.locktype = 'advisory'
		  AND locks.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
		  AND locks.objsubid = 1
		  AND locks.granted
		  AND locks.pid <> pg_backend_pid()
		  AND (locks.classid::bigint << 32) | locks.objid::bigint = ANY ($1)
		ORDER BY array_position($1, (locks.classid::bigint << 32) | locks.objid::bigint)
		LIMIT 1`, keys)
}

func (m *migrator) gooseUp(ctx context.Context) error {
	provider, err := m.provider()
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

func (m *migrator) gooseDown(ctx context.Context) error {
	provider, err := m.provider()
	if err != nil {
		return err
	}
	_, err = provider.DownTo(ctx, 0)
	return err
}

// provider makes a new one for every try: one that failed keeps failing.
func (m *migrator) provider() (*goose.Provider, error) {
	locker, err := gooselock.NewPostgresSessionLocker(gooselock.WithLockID(MigrationLock),
		gooselock.WithLockTimeout(1, migrationLockSeconds), gooselock.WithUnlockTimeout(1, 1))
	if err != nil {
		return nil, fmt.Errorf("set up goose: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, m.db, m.files,
		goose.WithTableName(versionTable), goose.WithSessionLocker(locker),
		goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, fmt.Errorf("set up goose: %w", err)
	}
	return provider, nil
}

// explain puts what came of trying to do something into words of ours.
func (m *migrator) explain(ctx context.Context, what string, err error) error {
	var partial *goose.PartialError
	switch {
	case err == nil:
		return nil
	case fault.IsState(err, "2BP01"): // dependent_objects_still_exist
		return fault.Refuse(`Drop them and run "relpack migrate down" again`,
			"objects of somebody else depend on relpack's: %s", serverDetail(err))
	case errors.As(err, &partial):
		return fmt.Errorf("migration %s: %w", filepath.Base(partial.Failed.Source.Path), partial.Err)
	case strings.Contains(err.Error(), "failed to acquire lock"):
		return m.lockHolder(ctx, []int64{MigrationLock}, "another migration is running")
	}
	return fmt.Errorf("%s: %w", what, err)
}
