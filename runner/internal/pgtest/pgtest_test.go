package pgtest_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/pgtest"
)

// serverRole makes this test program start a server, print its DSN and
// directory, and wait for its end.
const serverRole = "RELPACK_PGTEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(serverRole) != "" {
		holdServer()
	}
	os.Exit(pgtest.Main(m, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "CREATE TABLE thing AS SELECT 42 AS answer")
		return err
	}))
}

func holdServer() {
	server, err := pgtest.Start(context.Background(), pgtest.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(server.Dir())
	fmt.Println(server.TCPDSN("postgres"))
	select {}
}

func TestEachTestHasACopyOfTheTemplate(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"one", "two", "three", strings.Repeat("Four, a long name. ", 10)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := pgtest.NewDatabase(t)
			conn := db.Connect(t)
			var name string
			var answer int
			err := conn.QueryRow(t.Context(), "UPDATE thing SET answer = answer + 1 RETURNING answer, current_database()").Scan(&answer, &name)
			if err != nil || answer != 43 || name != db.Name {
				t.Errorf("answer %d in %s, want 43 in %s: %v", answer, name, db.Name, err)
			}
		})
	}
}

func TestADatabaseIsGoneAfterItsTest(t *testing.T) {
	t.Parallel()
	var name string
	t.Run("inner", func(t *testing.T) {
		db := pgtest.NewDatabase(t)
		name = db.Name
		db.Connect(t)
	})
	conn := pgtest.NewDatabase(t).Connect(t)
	var count int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_database WHERE datname = $1", name).Scan(&count); err != nil || count != 0 {
		t.Errorf("%s: %d, %v", name, count, err)
	}
}

func TestAServerSurvivesItsCrash(t *testing.T) {
	t.Parallel()
	// A path with a space, too long for a socket, and open to PostgreSQL's user.
	base, err := os.MkdirTemp("", "relpack pgtest "+strings.Repeat("long ", 20))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	const searchPath = `"it's", public`
	server, err := pgtest.Start(t.Context(), pgtest.Options{
		Dir:      base,
		Settings: map[string]string{"search_path": searchPath},
	})
	if err != nil {
		t.Fatal(err)
	}
	conn := connect(t, server.TCPDSN("postgres"))
	var got string
	if err := conn.QueryRow(t.Context(), "SHOW search_path").Scan(&got); err != nil || got != searchPath {
		t.Errorf("search_path is %s: %v", got, err)
	}
	if _, err := conn.Exec(t.Context(), "CREATE TABLE kept ()"); err != nil {
		t.Fatal(err)
	}
	if err := server.StopImmediate(); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "SELECT 1"); err == nil {
		t.Error("the stopped server answers")
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := connect(t, server.DSN("postgres")).Exec(t.Context(), "TABLE kept"); err != nil {
		t.Error(err)
	}
	if server.Version() < pgtest.MinVersion {
		t.Errorf("version %d", server.Version())
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(server.Dir()); !os.IsNotExist(err) {
		t.Errorf("the server's directory is left: %v", err)
	}
}

// Not even a process that is killed leaves a server behind.
func TestAServerEndsWithTheProcessThatStartedIt(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serverRole+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Scan()
	dir := lines.Text()
	lines.Scan()
	conn := connect(t, lines.Text())
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	// The server ends our connection when it goes.
	if _, err := conn.Exec(t.Context(), "SELECT pg_sleep(60)"); err == nil {
		t.Error("the server lives on")
	}
	// The directory goes last.
	patience := time.After(time.Minute)
	for tick := time.Tick(10 * time.Millisecond); ; {
		if _, err := os.Stat(dir); os.IsNotExist(err) {
			return
		}
		select {
		case <-patience:
			t.Fatalf("%s is left", dir)
		case <-tick:
		}
	}
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// A pool's next client has the session of the one before, and nothing of what that did
// in it but what is compiled and planned.
func TestASessionOfAPoolIsAsNew(t *testing.T) {
	t.Parallel()
	db := pgtest.NewDatabase(t)
	pool, own := db.Pool(t), db.Connect(t)
	open := func() (*pgx.Conn, uint32) {
		conn, err := pgx.Connect(t.Context(), pool.DSN+" application_name='relpack test'")
		if err != nil {
			t.Fatal(err)
		}
		return conn, conn.PgConn().PID()
	}
	first, pid := open()
	for _, statement := range []string{
		"SET search_path = pg_temp; SET statement_timeout = '1h'; CREATE TEMP TABLE mine (a int); SELECT pg_advisory_lock(7)",
		"DELETE FROM public.thing", "LISTEN something", "PREPARE mine AS SELECT 1",
	} {
		if _, err := first.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	_ = first.Close(t.Context())
	pool.Wait()
	var left int
	if err := own.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND state <> 'idle')
		+ (SELECT count(*) FROM pg_locks WHERE pid = $1)`, pid).Scan(&left); err != nil || left > 0 {
		t.Errorf("%d things live on in a session that nobody uses: %v", left, err)
	}
	second, again := open()
	if again != pid {
		t.Errorf("the second client has the session %d, the first had %d", again, pid)
	}
	var things int
	var path, timeout, name string
	var backend uint32
	var temp bool
	if err := second.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM thing), current_setting('search_path'), current_setting('statement_timeout'),
		current_setting('application_name'), pg_backend_pid(), to_regclass('pg_temp.mine') IS NOT NULL`).
		Scan(&things, &path, &timeout, &name, &backend, &temp); err != nil {
		t.Fatal(err)
	}
	if things != 0 || path != `"$user", public` || timeout != "0" || name != "relpack test" || backend != pid || temp {
		t.Errorf("found %d, %s, %s, %s, %d, %v", things, path, timeout, name, backend, temp)
	}
	// With a transaction, or a statement, that is open a session ends.
	third, other := open()
	if other == pid {
		t.Error("two clients have the same session")
	}
	if _, err := third.Exec(t.Context(), "BEGIN"); err != nil {
		t.Fatal(err)
	}
	_ = third.Close(t.Context())
	go func() { _, _ = second.Exec(t.Context(), "SELECT pg_sleep(0.5)") }()
	for start, works := time.Now(), false; !works; {
		if err := own.QueryRow(t.Context(), "SELECT bool_or(state = 'active') FROM pg_stat_activity WHERE pid = $1", pid).Scan(&works); err != nil {
			t.Fatal(err)
		}
		if time.Since(start) > time.Minute {
			t.Fatal("the second session does nothing")
		}
	}
	_ = second.PgConn().Conn().Close()
	pool.Wait()
	expectGone := func(pid uint32) {
		t.Helper()
		var there int
		if err := own.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE pid = $1", pid).Scan(&there); err != nil || there > 0 {
			t.Errorf("a session is there that nobody needs: %v", err)
		}
	}
	expectGone(pid)
	expectGone(other)
	pool.Fresh(true)
	fourth, pid := open()
	_ = fourth.Close(t.Context())
	pool.Wait()
	expectGone(pid)
	if fifth, again := open(); again == pid {
		t.Errorf("the session %d is not new", again)
	} else {
		_ = fifth.Close(t.Context())
	}
}
