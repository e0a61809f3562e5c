package session_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/pgtest"
	"relpack/runner/session"
	"relpack/runner/target"
)

func TestWhoIsNotLetInIsToldWhyAndWhichLineToCorrect(t *testing.T) {
	t.Parallel()
	server, err := pgtest.Start(t.Context(), pgtest.Options{Settings: map[string]string{"shared_buffers": "16MB"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	admin := packtest.Session(t, target.Target{DSN: server.DSN("postgres")})
	for _, statement := range []string{
		"CREATE ROLE keyed LOGIN PASSWORD 'secret'", "CREATE ROLE barred NOLOGIN",
		"CREATE DATABASE closed", "REVOKE CONNECT ON DATABASE closed FROM PUBLIC",
		"CREATE TABLE line (text text)", "INSERT INTO line VALUES ('local all keyed scram-sha-256'), ('local all all trust')",
	} {
		packtest.Run(t, admin, statement)
	}
	where := fmt.Sprintf("host=%s port=%d ", admin.Config().Host, admin.Config().Port)
	packtest.Run(t, admin, fmt.Sprintf("COPY line TO '%s'", packtest.Get[string](t, admin, "SHOW hba_file")))
	packtest.Run(t, admin, "SELECT pg_reload_conf()")
	for _, test := range []struct{ dsn, says, do string }{
		{"user=keyed password=wrong dbname=postgres", `can't connect: the server does not take the password of role "keyed" (`, "Correct user or password in @; if the password is not there"},
		{"user=keyed dbname=postgres", `can't connect: role "keyed" needs a password (`, "put it into ~/.pgpass"},
		{"user=barred dbname=postgres", `can't connect: the server does not let role "barred" in (`, "Correct user in @, or let"},
		{"user=nobody dbname=postgres", `can't connect: the server does not let role "nobody" in (`, "Correct user in @, or let"},
		{"user=keyed password=secret dbname=lost", `can't connect: the server has no database "lost" (`, "Correct dbname in @"},
		{"user=keyed password=secret", `can't connect: the server has no database "keyed" (`, "Correct dbname in @; where that has none, the name of the role is taken"},
		{"user=keyed password=secret dbname=closed", `can't connect: role "keyed" may not connect to database "closed" (`, `GRANT CONNECT ON DATABASE "closed" TO "keyed"`},
		{"user=keyed host=/none/such", "can't connect to ", "host and port of @ are right"},
	} {
		for place, in := range map[string]string{"": "--dsn", "site.conf:7": "the dsn (site.conf:7)"} {
			_, err := session.Open(t.Context(), target.Target{DSN: where + test.dsn, DSNAt: place}, "test", slog.New(slog.DiscardHandler))
			text := fault.Message(err)
			if fault.ExitCode(err) != fault.ExitFailure || !strings.HasPrefix(text, test.says) || !strings.Contains(text, strings.ReplaceAll(test.do, "@", in)) ||
				strings.Contains(text, "secret") || strings.Contains(text, "wrong") {
				t.Errorf("%s: %s", test.dsn, text)
			}
		}
	}
}
