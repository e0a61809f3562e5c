package orphans

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"relpack/runner/blobdir"
	"relpack/runner/fault"
)

// A mark is what the last removal has written into the directory (relpack.blobs_mark).
type mark struct {
	text []byte // nil: there is none

	Database string    `json:"database"`
	Origin   string    `json:"origin"`
	Timeline string    `json:"timeline,omitempty"`
	Removed  time.Time `json:"removed"`
	Cleared  int64     `json:"cleared"`
}

func readMark(dir *blobdir.Dir) (m mark, err error) {
	text, err := dir.Mark()
	if err != nil {
		return m, &fault.Error{Code: fault.ExitFailure, Err: fmt.Errorf("blob directory: %w", err), Hint: "Nothing was removed"}
	}
	if text == nil {
		return m, nil
	}
	// The server says that it can't be understood. It would not read a zero character.
	if json.Unmarshal(text, &m) != nil || bytes.Contains([]byte(m.Database+m.Origin+m.Timeline), []byte{0}) {
		return mark{text: []byte("{}")}, nil
	}
	m.text, err = json.Marshal(m)
	return m, err
}

// listed is the mark of which the server is asked about files that have not arrived since:
// they are still the very files that were listed.
func (m mark) listed() *string {
	if m.text == nil {
		return nil
	}
	m.Cleared = 0
	text, err := json.Marshal(m)
	if err != nil {
		return m.json()
	}
	m.text = text
	return m.json()
}

// json is what the server is asked with.
func (m mark) json() *string {
	if m.text == nil {
		return nil
	}
	text := string(m.text)
	return &text
}

// requireOwn refuses a directory that another database has cleared.
func (l *look) requireOwn(ctx context.Context) error {
	if l.mark.text == nil {
		return nil
	}
	_, err := l.conn.Exec(ctx, "SELECT relpack.require_blobs_mark($1::jsonb)", l.mark.json())
	return err
}

// compareMark has the list say whose mark it is. That of another database tells nothing
// of these files.
func (l *look) compareMark(ctx context.Context) error {
	err := l.requireOwn(ctx)
	if server, ok := errors.AsType[*pgconn.PgError](err); ok && server.Code == "RP002" {
		l.notOwn, l.mark = server.Message, mark{}
		return nil
	}
	return err
}

// setMark writes the mark: all that was superseded up to a tid is removed.
func (l *look) setMark(ctx context.Context, cleared int64) error {
	var text []byte
	err := l.conn.QueryRow(ctx, "SELECT jsonb_pretty(relpack.blobs_mark($1))", cleared).Scan(&text)
	if err != nil {
		return err
	}
	if err := l.dir.SetMark(append(bytes.TrimSpace(text), '\n'), l.mark.text != nil); err != nil {
		return &fault.Error{Code: fault.ExitFailure, Err: fmt.Errorf("write into the blob directory: %w", err),
			Hint: "Run relpack as the user who owns the directory and the file .relpack in it, as which the site runs"}
	}
	l.mark, err = readMark(l.dir)
	return err
}
