package session_test

import (
	"fmt"
	"testing"
	"time"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/schema"
	"relpack/runner/session"
	"relpack/runner/status"
)

// limit sets a parameter for all new sessions in the database, as a DBA does
// who thinks of the application.
func limit(t testing.TB, s *packtest.Sample, name, value string) {
	t.Helper()
	database := packtest.Get[string](t, s.Conn, "SELECT quote_ident(current_database())")
	packtest.Run(t, s.Conn, fmt.Sprintf("ALTER DATABASE %s SET %s = '%s'", database, name, value))
}

const (
	dbaLimit = time.Second
	overtime = 1500 * time.Millisecond
)

// limitTimes sets all limits of time that the server has.
func limitTimes(t testing.TB, s *packtest.Sample) {
	t.Helper()
	names, err := s.Conn.Query(t.Context(), `SELECT name FROM pg_settings WHERE name IN ('statement_timeout',
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
	s := packtest.NewSample(t)
	watcher := packtest.Session(t, s.Target)
	limitTimes(t, s)
	// While this goes on, the sessions of the pack wait for nothing, and then
	// for a lock that its statements and transactions need.
	hold := func(table string) {
		time.Sleep(overtime)
		packtest.Run(t, watcher, "BEGIN; LOCK TABLE "+table+" IN ACCESS EXCLUSIVE MODE")
		go func() {
			time.Sleep(overtime)
			_, _ = watcher.Exec(t.Context(), "ROLLBACK")
		}()
	}
	s.Survive(zodbtest.Small, func() {
		for _, at := range [][]string{{"during scan", "relpack.staged_object"}, {"choose", "relpack.problem"}} {
			met, err := packtest.PackWith(t, s.Target, at[0], func() { hold(at[1]) })
			if err != nil || !met {
				t.Errorf("%v: met %v: %v", at, met, err)
			}
		}
	})
}

func TestTimeLimitsForTheApplicationDoNotEndAMigration(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewBareStorage(t)
	s := &packtest.Sample{T: t, Target: target, Conn: conn}
	end, _ := packtest.Occupy(t, target)
	limitTimes(t, s)
	migrated := make(chan error, 1)
	log := &pgtest.Log{}
	go func() { migrated <- schema.Up(t.Context(), target, migrations.Files, log.Logger()) }()
	log.Wait(t, "slow editor")
	time.Sleep(2 * dbaLimit)
	end()
	if err := <-migrated; err != nil {
		t.Errorf("migrate: %s", fault.Message(err))
	}
}

func TestAPackBeyondTheLimitOfTemporaryFilesIsFinishedByTheNext(t *testing.T) {
	t.Parallel()
	s := packtest.NewSample(t)
	s.Survive(zodbtest.Small, func() {
		for name, value := range map[string]string{"temp_file_limit": "8kB", "work_mem": "64kB", "maintenance_work_mem": "1MB"} {
			limit(t, s, name, value)
		}
		_, err := pack.Run(t.Context(), s.Target, packtest.Everything, packtest.Log(t))
		packtest.ExpectFailed(t, err, "temp_file_limit")
		limit(t, s, "temp_file_limit", "-1")
	})
}

func TestHowADatabasePrintsValuesDoesNotMatter(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	database := packtest.Get[string](t, conn, "SELECT quote_ident(current_database())")
	for name, value := range map[string]string{
		"DateStyle": "German", "IntervalStyle": "sql_standard", "bytea_output": "escape", "extra_float_digits": "-15",
	} {
		packtest.Run(t, conn, "ALTER DATABASE "+database+" SET "+name+" = '"+value+"'")
	}
	read, err := session.Open(t.Context(), target, "test", packtest.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close(read)
	var state []byte
	var at time.Time
	var days float64
	var pause time.Duration
	if err := read.QueryRow(t.Context(), `SELECT '\x005c78ff'::bytea, '2026-02-03 04:05:06.789+00'::timestamptz,
		0.1234567890123456::float8, '1 hour'::interval`).Scan(&state, &at, &days, &pause); err != nil {
		t.Fatal(err)
	}
	if string(state) != "\x00\\x\xff" || !at.Equal(time.Date(2026, 2, 3, 4, 5, 6, 789e6, time.UTC)) || days != 0.1234567890123456 || pause != time.Hour {
		t.Errorf("read %q, %v, %v and %v", state, at, days, pause)
	}
	want := packtest.Without(packtest.Stored(t, conn), packtest.Unreachable(t, conn))
	packtest.Pack(t, target, pack.Options{Days: 1, Version: "test", Migrations: packtest.Everything.Migrations})
	packtest.ExpectSound(t, target)
	if _, err := status.Look(t.Context(), target, packtest.Everything.Migrations, packtest.Log(t)); err != nil {
		t.Error(err)
	}
	packtest.Run(t, conn, packtest.Impatient)
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, want...)
	if err := schema.Down(t.Context(), target, packtest.Everything.Migrations, packtest.Log(t)); err != nil {
		t.Error(err)
	}
	if err := schema.Up(t.Context(), target, packtest.Everything.Migrations, packtest.Log(t)); err != nil {
		t.Error(err)
	}
	if status, err := schema.ReadStatus(t.Context(), target, packtest.Everything.Migrations, packtest.Log(t)); err != nil ||
		status.Migrations[0].Applied == nil || time.Since(*status.Migrations[0].Applied).Abs() > time.Hour {
		t.Errorf("status: %v, %v", status, err)
	}
}
