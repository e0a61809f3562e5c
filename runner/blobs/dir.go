package blobs

import (
	"errors"
	"fmt"
	"io/fs"

	"relpack/runner/blobdir"
	"relpack/runner/fault"
	"relpack/runner/figures"
)

// Dir is a storage's shared blob directory, and what is known of it.
type Dir struct {
	*blobdir.Dir
	Path  string
	found []Blob         // live blobs whose files lie in it
	tried int            // live blobs that were looked for
	other blobdir.Layout // where they were found, if not in the directory's own

	failed   error // why some files could not be removed
	failures int
}

// Open opens a blob directory, so that a wrong one is found out before anything is
// deleted. Nil without one.
func Open(path string) (*Dir, error) {
	if path == "" {
		return nil, nil
	}
	dir, err := blobdir.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &fault.Error{Code: fault.ExitFailure, Err: fmt.Errorf("blob directory %s does not exist", path),
			Hint: "Mount it or correct blob-dir"}
	}
	if err != nil {
		return nil, &fault.Error{Code: fault.ExitFailure, Err: err, Hint: "Let this user read it, or correct blob-dir"}
	}
	return &Dir{Dir: dir, Path: path}, nil
}

// OpenToPack is Open for who would change something.
func OpenToPack(path string) (*Dir, error) {
	d, err := Open(path)
	if failed, ok := errors.AsType[*fault.Error](err); ok {
		failed.Err = fmt.Errorf("%w: nothing was changed", failed.Err)
	}
	return d, err
}

// enoughFound is how many live blobs are found before the directory is trusted:
// one proves it, but that one may be written again until its word is needed.
const enoughFound = 5

// prove looks for live blobs. That none of them is there is refused: another
// storage's directory, or one that is not mounted. deleted says what has become of the
// objects until then.
func (d *Dir) prove(live []Blob, deleted string) error {
	var first error
	for _, r := range live {
		if len(d.found) == enoughFound {
			break
		}
		d.tried++
		layout, err := d.Find(r.Zoid, r.Tid)
		switch {
		case err != nil && first == nil:
			first = err
		case layout != "":
			d.found = append(d.found, r)
			if layout != d.Layout() {
				d.other = layout
			}
		}
	}
	switch {
	case len(d.found) > 0:
		return nil
	case d.tried == 0:
		return d.notEmpty(deleted)
	}
	missed := fmt.Sprintf("%s is not there", d.File(live[0].Zoid, live[0].Tid))
	if first != nil {
		missed = first.Error()
	}
	return d.refuse(deleted, "it holds the files of none of %s that were looked for (%s)", figures.Plural(int64(d.tried), "live blob"), missed)
}

func (d *Dir) refuse(deleted, format string, args ...any) error {
	return fault.Refuse(deleted+". Mount it, or name the right one; with --dsn and without --blob-dir the files stay listed",
		"blob directory %s: "+format, append([]any{d.Path}, args...)...)
}

// notEmpty refuses what is no blob directory, where there is no live blob to look for:
// ZODB writes .layout before anything else.
func (d *Dir) notEmpty(deleted string) error {
	empty, err := d.Empty()
	if err != nil {
		return &fault.Error{Code: fault.ExitFailure, Err: fmt.Errorf("blob directory: %w", err)}
	}
	if empty {
		return d.refuse(deleted, "it is empty: not mounted")
	}
	return nil
}

// trusted tells whether a file that is not there is gone. Without live blobs
// to look for, the marker has to do.
func (d *Dir) trusted() bool {
	return len(d.found) > 0 || (d.tried == 0 && d.Marked())
}

// unproved says why blobs stay listed after a run that went well.
func (d *Dir) unproved() string {
	switch {
	case d.failures > 0:
		return "they could not be removed"
	case !d.trusted():
		return fmt.Sprintf("they were not found, and nothing shows that %s is this storage's blob directory: it has no .layout", d.Path)
	}
	return "they were not found, or were deleted in the meantime"
}
