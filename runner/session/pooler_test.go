package session_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/migrations"
	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/schema"
	"relpack/runner/status"
	"relpack/runner/target"
)

// On Debian and Ubuntu the package starts a pooler of its own, which nobody
// asked for here: a policy, there only while the installation lasts, forbids it.
const installPgbouncer = `
set -eu
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -o Acquire::Retries=5 update -qq
apt-get -o Acquire::Retries=5 -o DPkg::Lock::Timeout=600 install -y -qq --no-install-recommends pgbouncer
`

// pgbouncer finds the program, or installs it where this user may.
func pgbouncer(t *testing.T) string {
	t.Helper()
	path, err := findOrInstallPgbouncer()
	if err != nil {
		t.Fatal(err)
	}
	if path == "" {
		t.Skip("there is no pgbouncer, and this user can't install it with apt-get")
	}
	return path
}

// Once: two installations at a time would be in each other's way.
var findOrInstallPgbouncer = sync.OnceValues(func() (string, error) {
	if path := findPgbouncer(); path != "" {
		return path, nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		return "", nil
	}
	if out, err := exec.Command("sh", "-c", installPgbouncer).CombinedOutput(); err != nil {
		return "", fmt.Errorf("install pgbouncer: %w: %s", err, out)
	}
	path := findPgbouncer()
	if path == "" {
		return "", errors.New("there is no pgbouncer after its installation")
	}
	return path, nil
})

func findPgbouncer() string {
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// newPool puts a pooler in front of a target's server, with so many sessions.
func newPool(t *testing.T, program string, target target.Target, mode string, sessions int) target.Target {
	t.Helper()
	server, err := pgx.ParseConfig(target.DSN)
	if err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	_ = free.Close()
	dir := t.TempDir()
	settings, users := filepath.Join(dir, "pgbouncer.ini"), filepath.Join(dir, "users")
	if err := os.WriteFile(users, fmt.Appendf(nil, "%q %q\n", server.User, server.Password), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(settings, fmt.Appendf(nil, `
[databases]
* = host=%s port=%d
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = trust
auth_file = %s
pool_mode = %s
default_pool_size = %d
`, server.Host, server.Port, port, users, mode, sessions), 0o644); err != nil {
		t.Fatal(err)
	}
	// It refuses to run as root, and reads its settings before it changes.
	args := []string{settings}
	if os.Geteuid() == 0 {
		name := "postgres"
		if _, err := user.Lookup(name); err != nil {
			name = "nobody"
		}
		args = append([]string{"--user=" + name}, args...)
	}
	// The shell ends it when this process is gone, however that ended.
	log := &pgtest.Log{}
	pooler := exec.Command("/bin/sh", append([]string{"-c", `"$@" & read -r line; kill $!; wait`, "sh", program}, args...)...)
	pooler.Stdout, pooler.Stderr = log, log
	leash, err := pooler.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := pooler.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = leash.Close()
		_ = pooler.Wait() // killed
		if t.Failed() {
			t.Logf("pgbouncer says: %s", log)
		}
	})
	target.DSN = fmt.Sprintf("host=127.0.0.1 port=%d user=%s dbname=%s sslmode=disable", port, server.User, server.Database)
	packtest.Until(t, "the pooler answers", func() bool {
		conn, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return target
}

func TestAPoolerThatLendsSessionsForAsLongAsAClientStaysIsFine(t *testing.T) {
	t.Parallel()
	program := pgbouncer(t)
	s := packtest.NewSample(t)
	direct := s.Target
	s.Target = newPool(t, program, direct, "session", 20)
	s.ExpectPacked(zodbtest.Small, func() {
		s.Pack()
		// The second one gets the sessions of the first.
		s.Pack()
	})
	packtest.ExpectVerified(t, s)
	if n := packtest.Get[int](t, s.Conn, "SELECT count(*) FROM relpack.pack_lock_holder()"); n != 0 {
		t.Error("the pack lock stayed behind")
	}
	if err := schema.Up(t.Context(), s.Target, migrations.Files, packtest.Log(t)); err != nil {
		t.Errorf("migrate: %s", fault.Message(err))
	}
}

const lends = "the connection pooler lends its sessions"

func TestAPoolerThatLendsSessionsForATransactionIsRefused(t *testing.T) {
	t.Parallel()
	program := pgbouncer(t)
	for _, sessions := range []int{1, 20} {
		t.Run(fmt.Sprint(sessions), func(t *testing.T) {
			t.Parallel()
			s := packtest.NewSample(t)
			all := packtest.Stored(t, s.Conn)
			pooled := newPool(t, program, s.Target, "transaction", sessions)
			_, err := pack.Run(t.Context(), pooled, packtest.Everything, packtest.Log(t))
			packtest.ExpectError(t, err, fault.ExitRefused, lends, "pool_mode = session")
			packtest.ExpectError(t, schema.Up(t.Context(), pooled, migrations.Files, packtest.Log(t)), fault.ExitRefused, lends)
			_, err = status.Look(t.Context(), pooled, migrations.Files, packtest.Log(t))
			packtest.ExpectError(t, err, fault.ExitRefused, lends)
			packtest.ExpectZoids(t, "stored", packtest.Stored(t, s.Conn), all)
			if n := packtest.Get[int](t, s.Conn, "SELECT count(*) FROM relpack.pack_lock_holder()"); n != 0 {
				t.Error("the pack lock stayed behind")
			}
			s.Survive(zodbtest.Small, func() {})
		})
	}
}

func TestAPoolerThatLendsSessionsForAStatementIsRefused(t *testing.T) {
	t.Parallel()
	s := packtest.NewSample(t)
	pooled := newPool(t, pgbouncer(t), s.Target, "statement", 5)
	_, err := pack.Run(t.Context(), pooled, packtest.Everything, packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, lends, "pool_mode = session")
}

func TestAPoolerWithTooFewSessionsIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	s := packtest.NewSample(t)
	pooled := newPool(t, pgbouncer(t), s.Target, "session", 1)
	_, err := pack.Run(t.Context(), pooled, packtest.Everything, packtest.Log(t))
	packtest.ExpectFailed(t, err, "gave no second session", "make the pool larger")
}
