package runner

import (
	"fmt"
	"testing"
	"time"

	"relpack/migrations"
	"relpack/runner/internal/zodbtest"
)

// limit sets a parameter for all new sessions in the database, as a DBA does
// who thinks of the application.
func limit(t testing.TB, s *sample, name, value string) {
	t.Helper()
	database := get[string](t, s.conn, "SELECT quote_ident(current_database())")
	run(t, s.conn, fmt.Sprintf("ALTER DATABASE %s SET %s = '%s'", database, name, value))
}

const (
	dbaLimit = time.Second
	overtime = 1500 * time.Millisecond
)

// limitTimes sets all limits of time that the server has.
func limitTimes(t testing.TB, s *sample) {
	t.Helper()
	names, err := s.conn.Query(t.Context(), `SELECT name FROM pg_settings WHERE name IN ('statement_timeout',
		'lock_timeout', 'transaction_timeout', 'idle_session_timeout', 'idle_in_transaction_session_timeout')`)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for names.Next() {
		var name string
		if err := names.Scan(&name); err != nil {
			t.Fatal(err)
		}
		all = append(all, name)
	}
	for _, name := range all {
		limit(t, s, name, fmt.Sprintf("%dms", dbaLimit.Milliseconds()))
	}
}

func TestTimeLimitsForTheApplicationDoNotEndAPack(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	watcher := session(t, s.target)
	limitTimes(t, s)
	// While this goes on, the sessions of the pack wait for nothing, and then
	// for a lock that its statements and transactions need.
	hold := func(table string) {
		time.Sleep(overtime)
		run(t, watcher, "BEGIN; LOCK TABLE "+table+" IN ACCESS EXCLUSIVE MODE")
		go func() {
			time.Sleep(overtime)
			_, _ = watcher.Exec(t.Context(), "ROLLBACK")
		}()
	}
	s.survive(zodbtest.Small, func() {
		for _, at := range [][]string{{"during scan", "relpack.staged_object"}, {"choose", "relpack.problem"}} {
			met, err := packWith(t, s.target, at[0], func() { hold(at[1]) })
			if err != nil || !met {
				t.Errorf("%v: met %v: %v", at, met, err)
			}
		}
	})
}

func TestTimeLimitsForTheApplicationDoNotEndAMigration(t *testing.T) {
	t.Parallel()
	target, conn := newBareStorage(t)
	s := &sample{t, target, conn}
	end, _ := occupy(t, target)
	limitTimes(t, s)
	migrated := make(chan error, 1)
	log := &memory{}
	go func() { migrated <- MigrateUp(t.Context(), target, migrations.Files, log.logger()) }()
	log.wait(t, "slow editor")
	time.Sleep(2 * dbaLimit)
	end()
	if err := <-migrated; err != nil {
		t.Errorf("migrate: %s", Message(err))
	}
}

func TestAPackBeyondTheLimitOfTemporaryFilesIsFinishedByTheNext(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	s.survive(zodbtest.Small, func() {
		for name, value := range map[string]string{"temp_file_limit": "8kB", "work_mem": "64kB", "maintenance_work_mem": "1MB"} {
			limit(t, s, name, value)
		}
		_, err := Pack(t.Context(), s.target, everything, testLog(t))
		expectFailed(t, err, "temp_file_limit")
		limit(t, s, "temp_file_limit", "-1")
	})
}
