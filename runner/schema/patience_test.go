package schema_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/pgtest"
	"relpack/runner/schema"
)

func TestALiveSiteNeverQueuesUpBehindMigrateUp(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewBareStorage(t)
	target.CommitLockTimeout = time.Minute
	end, pid := packtest.Occupy(t, target)
	log := &pgtest.Log{}
	result := make(chan error, 1)
	go func() { result <- schema.Up(t.Context(), target, migrations.Files, log.Logger()) }()

	// A migration that waits without a limit lets no writer pass.
	packtest.Run(t, conn, packtest.Impatient)
	longest, tid := time.Duration(0), int64(0)
	write := func() {
		begin := time.Now()
		tid++
		packtest.Run(t, conn, "INSERT INTO object_state VALUES ($1, $1, 1, 'x')", tid)
		longest = max(longest, time.Since(begin))
	}
	packtest.Until(t, "a writer has met the migration, which has said whom it waits for", func() bool {
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
	target, conn := packtest.NewBareStorage(t)
	target.CommitLockTimeout = time.Second
	before := packtest.Catalog(t, conn)
	end, pid := packtest.Occupy(t, target)
	defer end()
	err := schema.Up(t.Context(), target, migrations.Files, packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitFailure, fmt.Sprintf("pid %d", pid), "slow editor", "object_state was locked")
	if after := packtest.Catalog(t, conn); after != before {
		t.Errorf("it left\n%s", after)
	}
}

func TestAnInterruptedMigrationLeavesNothing(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewBareStorage(t)
	target.CommitLockTimeout = 0 // no limit
	before := packtest.Catalog(t, conn)
	end, _ := packtest.Occupy(t, target)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log := &pgtest.Log{}
	result := make(chan error, 1)
	go func() { result <- schema.Up(ctx, target, migrations.Files, log.Logger()) }()
	log.Wait(t, "slow editor")
	cancel()
	packtest.ExpectError(t, <-result, fault.ExitInterrupted, "interrupted")
	end()
	if after := packtest.Catalog(t, conn); after != before {
		t.Errorf("it left\n%s", after)
	}
	packtest.MigrateUp(t, target)
}

func TestDownWaitsForReadersToo(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	target.CommitLockTimeout = time.Second
	packtest.Run(t, conn, "BEGIN; SELECT count(*) FROM object_state")
	installed := packtest.Catalog(t, conn)
	err := schema.Down(t.Context(), target, migrations.Files, packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitFailure, fmt.Sprintf("pid %d", conn.PgConn().PID()))
	packtest.Run(t, conn, "ROLLBACK")
	if after := packtest.Catalog(t, conn); after != installed {
		t.Errorf("half of relpack is gone, left is\n%s", after)
	}
	down(t, target)
}

func TestAnotherMigrationThatHoldsGoosesLockIsNamed(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewBareStorage(t)
	before := packtest.Catalog(t, conn)
	packtest.Run(t, conn, "SELECT pg_advisory_lock($1)", int64(schema.MigrationLock))
	err := schema.Up(t.Context(), target, migrations.Files, packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitLocked, fmt.Sprintf("pid %d", conn.PgConn().PID()))
	packtest.Run(t, conn, "SELECT pg_advisory_unlock($1)", int64(schema.MigrationLock))
	if after := packtest.Catalog(t, conn); after != before {
		t.Errorf("it left\n%s", after)
	}
}
