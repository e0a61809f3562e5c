package job

import (
	"context"

	"github.com/jackc/pgx/v5"

	"relpack/runner/session"
)

// A Second is a session beside the main one that is opened on first use: most jobs
// are so small that they need none, and to connect would take longer.
type Second struct {
	job     *Job
	purpose string
	conn    *pgx.Conn
	given   bool
}

// Second opens a session for a purpose when it is needed.
func (j *Job) Second(purpose string) *Second { return &Second{job: j, purpose: purpose} }

// Given is a Second that somebody else has opened, and closes.
func Given(conn *pgx.Conn) *Second { return &Second{conn: conn, given: true} }

// Get opens the session unless it is open.
func (s *Second) Get(ctx context.Context) (_ *pgx.Conn, err error) {
	if s.conn == nil {
		s.conn, err = s.job.Session(ctx, s.purpose)
	}
	return s.conn, err
}

// Opened tells whether there was a use for it.
func (s *Second) Opened() bool { return s.conn != nil }

// Close closes it if it was opened.
func (s *Second) Close() {
	if s.conn != nil && !s.given {
		session.Close(s.conn)
	}
}
