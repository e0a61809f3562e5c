package packtest

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/session"
	"relpack/runner/target"
)

// Until polls until the condition holds.
func Until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in a minute: %s", what)
		}
	}
}

// UntilWaiting polls until a session waits for a lock.
func UntilWaiting(t testing.TB, conn *pgx.Conn, pid uint32) {
	t.Helper()
	Until(t, "a session waits for a lock", func() bool {
		return Get[bool](t, conn, "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted)", pid)
	})
}

// Impatient ends a session's statements that wait for a lock for so long that
// nobody will ever let go of it, on a machine however slow.
const Impatient = "SET lock_timeout = '20s'"

// Occupy opens a transaction of an application that has written an object, and
// returns what ends it, and the pid.
func Occupy(t *testing.T, target target.Target) (end func(), pid uint32) {
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
	Run(t, conn, "BEGIN; INSERT INTO object_state VALUES (4711, 4711, 1, 'x')")
	return func() { Run(t, conn, "ROLLBACK") }, conn.PgConn().PID()
}

// SlowSweep makes every deletion wait for an advisory lock of the test's own
// when the rows are locked and gone, before the writers' lock is tried for.
func SlowSweep(t testing.TB, conn *pgx.Conn) {
	t.Helper()
	Run(t, conn, `
		CREATE FUNCTION wait_a_while() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS $$
		BEGIN
			PERFORM pg_advisory_xact_lock_shared(4711, 4711);
			RETURN NULL;
		END $$;
		CREATE TRIGGER wait_a_while AFTER DELETE ON object_state FOR EACH STATEMENT EXECUTE FUNCTION wait_a_while()`)
}

// Sweeping calls sweep in a session of its own, and returns the outcome, or the
// error, when that is there.
func Sweeping(t *testing.T, target target.Target) (sweeper *pgx.Conn, swept <-chan string) {
	t.Helper()
	sweeper = Session(t, target)
	outcome := make(chan string, 1)
	go func() {
		var got string
		if err := sweeper.QueryRow(t.Context(), "SELECT outcome FROM relpack.sweep(1000, NULL)").Scan(&got); err != nil {
			got = err.Error()
		}
		outcome <- got
	}()
	return sweeper, outcome
}
