package session

import (
	"errors"
	"testing"
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
