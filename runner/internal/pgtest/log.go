package pgtest

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Log is one that can be read while it is written.
type Log struct {
	guard sync.Mutex
	text  bytes.Buffer
}

// Write is part of io.Writer.
func (m *Log) Write(line []byte) (int, error) {
	m.guard.Lock()
	defer m.guard.Unlock()
	return m.text.Write(line)
}

// String is all that was written.
func (m *Log) String() string {
	m.guard.Lock()
	defer m.guard.Unlock()
	return m.text.String()
}

// Logger writes to it.
func (m *Log) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(m, nil)) }

// Wait returns when the log has these words.
func (m *Log) Wait(t testing.TB, words string) {
	t.Helper()
	for start := time.Now(); !strings.Contains(m.String(), words); time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > time.Minute {
			t.Fatalf("no %q in the log:\n%s", words, m)
		}
	}
}
