package orphans

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"relpack/runner/blobdir"
)

// A spool keeps the orphans of a directory in a file without a name.
type spool struct {
	file *os.File
	out  *bufio.Writer
	json *json.Encoder
}

func newSpool() (*spool, error) {
	file, err := os.CreateTemp("", "relpack-blobs-*")
	if err != nil {
		return nil, fmt.Errorf("keep a list of files: %w", err)
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("keep a list of files: %w", err), file.Close())
	}
	out := bufio.NewWriter(file)
	return &spool{file, out, json.NewEncoder(out)}, nil
}

func (s *spool) close() { _ = s.file.Close() }

func (s *spool) add(e blobdir.Entry) error {
	if err := s.json.Encode(e); err != nil {
		return fmt.Errorf("keep a list of files: %w", err)
	}
	return nil
}

// each yields the files in groups.
func (s *spool) each(size int, do func([]blobdir.Entry) error) error {
	err := s.out.Flush()
	if err == nil {
		_, err = s.file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("read the list of files: %w", err)
	}
	in := json.NewDecoder(bufio.NewReader(s.file))
	for {
		var group []blobdir.Entry
		for len(group) < size {
			var e blobdir.Entry
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
