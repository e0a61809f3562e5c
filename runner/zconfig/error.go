package zconfig

import (
	"fmt"
	"strings"
)

// An Error says what is wrong with a configuration file and where.
type Error struct {
	File string
	Line int // 0 when the whole file is meant
	What string
	Err  error // the cause, if it was another error; What contains its text
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.What)
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.What)
}

// Unwrap returns the cause: an *fs.PathError for a file that can't be read.
func (e *Error) Unwrap() error { return e.Err }

// position is a line of a file.
type position struct {
	file string
	line int
}

func (p position) errorf(format string, args ...any) *Error {
	return &Error{File: p.file, Line: p.line, What: fmt.Sprintf(format, args...)}
}

// because is errorf with a cause, whose text is appended.
func (p position) because(err error, format string, args ...any) *Error {
	e := p.errorf(format, args...)
	e.What += ": " + err.Error()
	e.Err = err
	return e
}

// maxQuoted is how much of the file's text an error repeats.
const maxQuoted = 60

// quote shows a word of the file, shortened and on one line.
func quote(word string) string {
	if len(word) > maxQuoted {
		word = strings.ToValidUTF8(word[:maxQuoted], "") + "..."
	}
	return fmt.Sprintf("%q", word)
}
