package runner

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/internal/pgtest"
	"relpack/runner/schema"
	"relpack/runner/session"
	"relpack/runner/target"
)

// occupy opens a transaction of an application that has written an object, and
// returns what ends it, and the pid.
func occupy(t *testing.T, target target.Target) (end func(), pid uint32) {
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
	t.Cleanup(func() { session.Close(conn) })
	run(t, conn, "BEGIN; INSERT INTO object_state VALUES (4711, 4711, 1, 'x')")
	return func() { run(t, conn, "ROLLBACK") }, conn.PgConn().PID()
}

func TestALiveSiteNeverQueuesUpBehindMigrateUp(t *testing.T) {
	t.Parallel()
	target, conn := newBareStorage(t)
	target.CommitLockTimeout = time.Minute
	end, pid := occupy(t, target)
	log := &pgtest.Log{}
	result := make(chan error, 1)
	go func() { result <- schema.Up(t.Context(), target, migrations.Files, log.Logger()) }()

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
	err := schema.Up(t.Context(), target, migrations.Files, testLog(t))
	expectError(t, err, fault.ExitFailure, fmt.Sprintf("pid %d", pid), "slow editor", "object_state was locked")
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
	log := &pgtest.Log{}
	result := make(chan error, 1)
	go func() { result <- schema.Up(ctx, target, migrations.Files, log.Logger()) }()
	log.Wait(t, "slow editor")
	cancel()
	expectError(t, <-result, fault.ExitInterrupted, "interrupted")
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
	err := schema.Down(t.Context(), target, migrations.Files, testLog(t))
	expectError(t, err, fault.ExitFailure, fmt.Sprintf("pid %d", conn.PgConn().PID()))
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
	run(t, conn, "SELECT pg_advisory_lock($1)", int64(schema.MigrationLock))
	err := schema.Up(t.Context(), target, migrations.Files, testLog(t))
	expectError(t, err, fault.ExitLocked, fmt.Sprintf("pid %d", conn.PgConn().PID()))
	run(t, conn, "SELECT pg_advisory_unlock($1)", int64(schema.MigrationLock))
	if after := catalog(t, conn); after != before {
		t.Errorf("it left\n%s", after)
	}
}
