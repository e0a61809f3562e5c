package commandtest

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/pgtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/target"
)

// secret is in every password of these tests, between what needs quoting.
const secret = "hunter2"

const password = `pa ss'` + secret + `\@%/`

// newGuardedServer asks the role keeper, who owns a storage, for its password.
func newGuardedServer(t *testing.T) *pgtest.Server {
	t.Helper()
	server := packtest.NewServer(t)
	hba := filepath.Join(server.Dir(), "data", "pg_hba.conf")
	text, err := os.ReadFile(hba)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hba, append([]byte("host all keeper 127.0.0.1/32 scram-sha-256\n"), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	admin := packtest.Session(t, target.Target{DSN: server.DSN("postgres")})
	packtest.Run(t, admin, "CREATE ROLE keeper LOGIN PASSWORD '"+strings.ReplaceAll(password, "'", "''")+"'; SELECT pg_reload_conf()")
	packtest.Run(t, admin, "CREATE DATABASE site OWNER keeper")
	site := packtest.Session(t, target.Target{DSN: server.DSN("site")})
	packtest.Run(t, site, "GRANT CREATE ON SCHEMA public TO keeper; SET ROLE keeper")
	if err := zodbtest.CreateStorage(t.Context(), site, zodbtest.V42); err != nil {
		t.Fatal(err)
	}
	packtest.Commit(t, site, packtest.Garden)
	return server
}

// expectSilence runs relpack and looks for the password in what it prints.
func expectSilence(t *testing.T, code int, env []string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), built, args...)
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "PG") {
			command.Env = append(command.Env, entry)
		}
	}
	command.Env = append(command.Env, env...)
	out, err := command.CombinedOutput()
	if command.ProcessState == nil {
		t.Fatal(err)
	}
	if got := command.ProcessState.ExitCode(); got != code {
		t.Errorf("relpack %q: exit code %d, want %d\n%s", args, got, code, out)
	}
	if strings.Contains(string(out), secret) {
		t.Errorf("relpack %q tells the password:\n%s", args, out)
	}
	return string(out)
}

func TestPasswordsAreInNoOutput(t *testing.T) {
	t.Parallel()
	server := newGuardedServer(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	port := packtest.Get[string](t, packtest.Session(t, target.Target{DSN: server.DSN("postgres")}), "SHOW port")
	where := func(database string) string { return "host=127.0.0.1 user=keeper port=" + port + " dbname=" + database }
	keywords := func(database, password string) string {
		return where(database) + " password='" + quote.Replace(password) + "'"
	}
	uri := func(password string) string {
		return fmt.Sprintf("postgresql://%s@127.0.0.1:%s/site", url.UserPassword("keeper", password), port)
	}
	config := func(name, dsn string) string {
		return file(name, "<relstorage site>\n  keep-history false\n  <postgresql>\n    dsn "+dsn+"\n  </postgresql>\n</relstorage>\n")
	}
	escape := strings.NewReplacer(`\`, `\\`, `:`, `\:`)
	passfile := "PGPASSFILE=" + file("pgpass", "127.0.0.1:"+port+":*:keeper:"+escape.Replace(password)+"\n")

	good := map[string]struct{ env, place []string }{
		"keywords":      {nil, []string{"--dsn", keywords("site", password)}},
		"URI":           {nil, []string{"--dsn", uri(password)}},
		"configuration": {nil, []string{config("good.conf", keywords("site", password))}},
		"environment":   {[]string{"PGPASSWORD=" + password}, []string{"--dsn", where("site")}},
		"password file": {[]string{passfile}, []string{"--dsn", where("site")}},
	}
	for name, g := range good {
		t.Run(name, func(t *testing.T) {
			for _, command := range [][]string{
				{"migrate", "up", "--verbose"},
				{"migrate", "status", "--verbose"},
				{"pack", "--dry-run", "--days", "-1", "--verbose", "--json"},
				{"status", "--verbose", "--json"},
			} {
				expectSilence(t, fault.ExitDone, g.env, append(command, g.place...)...)
			}
		})
	}
	site := packtest.Session(t, target.Target{DSN: server.DSN("site")})
	if n := packtest.Get[int](t, site, "SELECT count(*) FROM relpack.run WHERE run::text LIKE '%"+secret+"%'"); n != 0 {
		t.Error("relpack.run tells the password")
	}

	for name, bad := range map[string]struct{ dsn, says string }{
		"wrong password":     {keywords("site", password+"x"), "password authentication failed"},
		"wrong, in a URI":    {uri(password + "x"), "password authentication failed"},
		"no such database":   {keywords("nowhere", password), "does not exist"},
		"nobody listens":     {strings.Replace(keywords("site", password), "port="+port, "port=1", 1), "connect"},
		"no such host":       {strings.Replace(keywords("site", password), "127.0.0.1", "host.invalid", 1), "host.invalid"},
		"an unknown keyword": {keywords("site", password) + " pasword=" + secret, "invalid connection option"},
		"an open quote":      {where("site") + " password='" + secret, "quote"},
		"no keyword":         {where("site") + " password=x " + secret, ""},
		"a port in letters":  {"postgresql://keeper:" + secret + "@127.0.0.1:port/site", "port"},
		"a broken escape":    {"postgresql://keeper:" + secret + "%zz@127.0.0.1/site", "%"},
		"a bracket too few":  {"postgresql://keeper:" + secret + "@[::1/site", ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, args := range [][]string{
				{"pack", "--verbose", "--json", config(name+".conf", bad.dsn)},
				{"status", "--json", "--dsn", bad.dsn},
			} {
				if out := expectSilence(t, fault.ExitFailure, nil, args...); !strings.Contains(out, bad.says) {
					t.Errorf("%q is not said: %s", bad.says, out)
				}
			}
		})
	}
}

// ps shows how relpack was called. Where the password is in a file, no process
// of it has it there.
func TestThePasswordOfTheConfigurationIsInNoCommandLine(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/cmdline"); err != nil {
		t.Skip("this system has no /proc")
	}
	db := pgtest.NewDatabase(t)
	target, conn := target.Target{DSN: db.DSN}, db.Connect(t)
	packtest.MigrateUp(t, target)
	config := filepath.Join(t.TempDir(), "site.conf")
	text := "<relstorage site>\n  keep-history false\n  <postgresql>\n    dsn " + target.DSN + " password=" + secret + "\n  </postgresql>\n</relstorage>\n"
	if strings.Contains(target.DSN, "://") {
		t.Skip("the server for the tests is named by a URI")
	}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	locker := packtest.Session(t, target)
	packtest.Run(t, locker, "BEGIN; LOCK TABLE relpack.run")
	command := exec.CommandContext(t.Context(), built, "pack", config)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	waitingPid := func() int {
		return packtest.Get[int](t, conn, "SELECT coalesce(max(pid), 0) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'relpack pack' AND wait_event_type = 'Lock'")
	}
	packtest.Until(t, "relpack is at work", func() bool { return waitingPid() != 0 })
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", command.Process.Pid))
	if err != nil || !strings.Contains(string(line), config) || strings.Contains(string(line), secret) {
		t.Errorf("command line %q, %v", line, err)
	}
	if query := packtest.Get[string](t, conn, "SELECT query FROM pg_stat_activity WHERE pid = $1", waitingPid()); strings.Contains(query, secret) {
		t.Errorf("pg_stat_activity shows %s", query)
	}
	packtest.Run(t, locker, "COMMIT")
	if err := command.Wait(); err != nil {
		t.Error(err)
	}
}
