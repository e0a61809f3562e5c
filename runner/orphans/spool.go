package orphans

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"relpack/runner/blobdir"
	"relpack/runner/fault"
)

// A doomed file goes, if it is still that file, and what is said of it still the same.
type doomed struct {
	blobdir.Entry
	Why   string // its kind
	Since int64  // the tid that superseded it, or its own; 0 of a temporary file
}

// A spool keeps the orphans of a directory in a file without a name.
type spool struct {
	file *os.File
	out  *bufio.Writer
	json *json.Encoder
}

func newSpool() (*spool, error) {
	file, err := os.CreateTemp("", "relpack-blobs-*")
	if err != nil {
		return nil, &fault.Error{Code: fault.ExitFailure, Err: fmt.Errorf("keep a list of files: %w", err),
			Hint: "Set TMPDIR to a directory in which this user may write"}
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("keep a list of files: %w", err), file.Close())
	}
	out := bufio.NewWriter(file)
	return &spool{file, out, json.NewEncoder(out)}, nil
}

func (s *spool) close() { _ = s.file.Close() }

func (s *spool) add(e doomed) error {
	if err := s.json.Encode(e); err != nil {
		return fmt.Errorf("keep a list of files: %w", err)
	}
	return nil
}

// each yields the files in groups.
func (s *spool) each(size int, do func([]doomed) error) error {
	err := s.out.Flush()
	if err == nil {
		_, err = s.file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("read the list of files: %w", err)
	}
	in := json.NewDecoder(bufio.NewReader(s.file))
	for {
		var group []doomed
		for len(group) < size {
			var e doomed
			err := in.Decode(&e)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return fmt.Errorf("read the list of files: %w", err)
			}
			group = append(group, e)
		}
		if len(group) == 0 {
			return nil
		}
		if err := do(group); err != nil {
			return err
		}
	}
}
