package session

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"relpack/runner/fault"
	"relpack/runner/target"
)

func TestAFailedConnectionHasEachReasonOnceAndNoRefusedTLS(t *testing.T) {
	t.Parallel()
	const missing = `FATAL: database "z" does not exist (SQLSTATE 3D000)`
	got := reasons(errors.New("failed to connect to `user=u database=z`:\n\t127.0.0.1:5432 (h): tls error: server refused TLS connection\n\t127.0.0.1:5432 (h): server error: " +
		missing + "\n\t127.0.0.1:5432 (h): server error: " + missing))
	if want := "can't connect to `user=u database=z`: 127.0.0.1:5432 (h): server error: " + missing; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	const alone = "tls error: server refused TLS connection"
	if got := reasons(errors.New(alone)); got != alone {
		t.Errorf("got %q", got)
	}
}

func TestANameThatIsNotResolvedIsToldOnce(t *testing.T) {
	t.Parallel()
	const reason = "lookup nowhere: no such host"
	got := reasons(errors.New("failed to connect to `user=u`: hostname resolving error: " + reason + "\n" + reason))
	if want := "can't connect to `user=u`: hostname resolving error: " + reason; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestABadConnectionStringIsToldWithItsLine(t *testing.T) {
	t.Parallel()
	_, err := Open(t.Context(), target.Target{DSN: "port=x", DSNAt: "site.conf:7"}, "test", slog.New(slog.DiscardHandler))
	if got := fault.Message(err); !strings.HasPrefix(got, "site.conf:7: connection settings: port ") {
		t.Errorf("got %q", got)
	}
}
