package runner

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/migrations"
)

// A memory is a log that can be read while it is written.
type memory struct {
	guard sync.Mutex
	text  bytes.Buffer
}

func (m *memory) Write(line []byte) (int, error) {
	m.guard.Lock()
	defer m.guard.Unlock()
	return m.text.Write(line)
}

func (m *memory) String() string {
	m.guard.Lock()
	defer m.guard.Unlock()
	return m.text.String()
}

func (m *memory) logger() *slog.Logger { return slog.New(slog.NewTextHandler(m, nil)) }

// wait returns when the log has these words.
func (m *memory) wait(t *testing.T, words string) {
	t.Helper()
	for start := time.Now(); !strings.Contains(m.String(), words); time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > time.Minute {
			t.Fatalf("no %q in the log:\n%s", words, m)
		}
	}
}

// occupy opens a transaction of an application that has written an object, and
// returns what ends it, and the pid.
func occupy(t *testing.T, target Target) (end func(), pid uint32) {
	t.Helper()
	config, err := pgx.ParseConfig(target.DSN)
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["application_name"] = "slow editor"
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeSession(conn) })
	run(t, conn, "BEGIN; INSERT INTO object_state VALUES (4711, 4711, 1, 'x')")
	return func() { run(t, conn, "ROLLBACK") }, conn.PgConn().PID()
}

func TestALiveSiteNeverQueuesUpBehindMigrateUp(t *testing.T) {
	t.Parallel()
	target, conn := newBareStorage(t)
	target.CommitLockTimeout = time.Minute
	end, pid := occupy(t, target)
	log := &memory{}
	result := make(chan error, 1)
	go func() { result <- MigrateUp(t.Context(), target, migrations.Files, log.logger()) }()

	// A migration that waits without a limit lets no writer pass.
	run(t, conn, impatient)
	longest, tid := time.Duration(0), int64(0)
	write := func() {
		begin := time.Now()
		tid++
		run(t, conn, "INSERT INTO object_state VALUES ($1, $1, 1, 'x')", tid)
		longest = max(longest, time.Since(begin))
	}
	until(t, "a writer has met the migration, which has said whom it waits for", func() bool {
		write()
		said := log.String()
		return longest > 50*time.Millisecond && strings.Contains(said, fmt.Sprintf("pid %d", pid)) && strings.Contains(said, "slow editor")
	})
	select {
	case err := <-result:
		t.Fatalf("did not wait: %v", err)
	default:
	}
	end()
	for range 20 {
		write()
	}
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	// The limit is 200 ms; a machine that stalls adds to it.
	t.Logf("longest wait of a writer: %s\n%s", longest, log)
	if longest > 5*time.Second {
		t.Errorf("a writer waited for %s", longest)
	}
}

func TestMigrateUpGivesUpInTimeAndLeavesNothing(t *testing.T) {
	t.Parallel()
	target, conn := newBareStorage(t)
	target.CommitLockTimeout = time.Second
	before := catalog(t, conn)
	end, pid := occupy(t, target)
	defer end()
	err := MigrateUp(t.Context(), target, migrations.Files, testLog(t))
	expectError(t, err, ExitFailure, fmt.Sprintf("pid %d", pid), "slow editor", "object_state was locked")
	if after := catalog(t, conn); after != before {
		t.Errorf("it left\n%s", after)
	}
}

func TestAnInterruptedMigrationLeavesNothing(t *testing.T) {
	t.Parallel()
	target, conn := newBareStorage(t)
	target.CommitLockTimeout = 0 // no limit
	before := catalog(t, conn)
	end, _ := occupy(t, target)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log := &memory{}
	result := make(chan error, 1)
	go func() { result <- MigrateUp(ctx, target, migrations.Files, log.logger()) }()
	log.wait(t, "slow editor")
	cancel()
	expectError(t, <-result, ExitInterrupted, "interrupted")
	end()
	if after := catalog(t, conn); after != before {
		t.Errorf("it left\n%s", after)
	}
	up(t, target)
}

func TestDownWaitsForReadersToo(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	target.CommitLockTimeout = time.Second
	run(t, conn, "BEGIN; SELECT count(*) FROM object_state")
	installed := catalog(t, conn)
	err := MigrateDown(t.Context(), target, migrations.Files, testLog(t))
	expectError(t, err, ExitFailure, fmt.Sprintf("pid %d", conn.PgConn().PID()))
	run(t, conn, "ROLLBACK")
	if after := catalog(t, conn); after != installed {
		t.Errorf("half of relpack is gone, left is\n%s", after)
	}
	down(t, target)
}

func TestAnotherMigrationThatHoldsGoosesLockIsNamed(t *testing.T) {
	t.Parallel()
	target, conn := newBareStorage(t)
	before := catalog(t, conn)
	run(t, conn, "SELECT pg_advisory_lock($1)", int64(migrationLock))
	err := MigrateUp(t.Context(), target, migrations.Files, testLog(t))
	expectError(t, err, ExitLocked, fmt.Sprintf("pid %d", conn.PgConn().PID()))
	run(t, conn, "SELECT pg_advisory_unlock($1)", int64(migrationLock))
	if after := catalog(t, conn); after != before {
		t.Errorf("it left\n%s", after)
	}
}
