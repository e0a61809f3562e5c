package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Exit codes of the relpack command.
const (
	ExitDone        = 0
	ExitFailure     = 1
	ExitUsage       = 2
	ExitLocked      = 3
	ExitRefused     = 4
	ExitInterrupted = 130
)

// SQLSTATEs that relpack's server functions raise.
const (
	StateLocked  = "RP001"
	StateRefused = "RP002"
	StateUndone  = "RP003" // a batch was taken back: its message says whether to mark again or to try again
	StateLost    = "RP004" // the session that holds the pack lock has ended
)

// An Error ends a command. Its text is one line: what failed, and what to do.
type Error struct {
	Code int    // exit code
	Err  error  // what happened, to what
	Hint string // what to do; may be empty
}

// Error is part of error.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Err.Error()
	}
	return e.Err.Error() + ". " + e.Hint
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Refuse makes an error with ExitRefused: nothing was changed, for safety.
func Refuse(hint, format string, args ...any) error {
	return &Error{Code: ExitRefused, Err: fmt.Errorf(format, args...), Hint: hint}
}

// ExitCode tells what a command that ended with err exits with.
func ExitCode(err error) int {
	if err == nil {
		return ExitDone
	}
	var ended *Error
	if errors.As(err, &ended) {
		return ended.Code
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case StateLocked:
			return ExitLocked
		case StateRefused:
			return ExitRefused
		}
	}
	if errors.Is(err, context.Canceled) {
		return ExitInterrupted
	}
	return ExitFailure
}

// Message is what to tell of an error, in one line: the server's own words
// with detail and hint where it is one of the server's.
func Message(err error) string {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return OneLine(err.Error())
	}
	text := err.Error()
	if pg.Code == StateLocked || pg.Code == StateRefused {
		text = pg.Message
	}
	for _, more := range []string{pg.Detail, pg.Hint} {
		if more != "" {
			text += ". " + more
		}
	}
	return OneLine(text)
}

// Explain says so if a connection was lost at the server's end, and what becomes
// of the work. The same holds if a second signal ended a statement.
func Explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled) && ExitCode(err) == ExitInterrupted:
		return Interrupted
	case !lost(err):
		return err
	}
	return &Error{Code: ExitFailure, Err: fmt.Errorf("the connection to the server was lost: %w", err),
		Hint: "Finished work is kept, and the next run continues"}
}

// lost tells whether err ended a session that nobody wanted to end.
func lost(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.SeverityUnlocalized == "FATAL" || pg.SeverityUnlocalized == "PANIC" || pg.Code == StateLost
	}
	var network *net.OpError
	return !errors.Is(err, context.Canceled) &&
		(errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
			errors.Is(err, pgconn.ErrConnClosed))
}

// AsRefusal returns the server's error if it is a refusal of relpack's functions.
func AsRefusal(err error) (*pgconn.PgError, bool) {
	var pg *pgconn.PgError
	return pg, errors.As(err, &pg) && pg.Code == StateRefused
}

// IsState reports whether err is the server's, with one of these SQLSTATEs.
func IsState(err error, states ...string) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	for _, state := range states {
		if pg.Code == state {
			return true
		}
	}
	return false
}

// Interrupted ends a command that was told to stop.
var Interrupted = &Error{Code: ExitInterrupted, Err: errors.New("interrupted"),
	Hint: "Finished work is kept, and the next run continues"}

// OneLine folds all white space of a text.
func OneLine(text string) string {
	return strings.Join(strings.Fields(text), " ")
}

// Raised returns the message of the server's error if it has this SQLSTATE.
func Raised(err error, state string) (message string, raised bool) {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != state {
		return "", false
	}
	return pg.Message, true
}
