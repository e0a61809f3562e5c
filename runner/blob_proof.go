package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"

	"relpack/runner/blobdir"
	"relpack/runner/fault"
	"relpack/runner/figures"
	"relpack/runner/schema"
	"relpack/runner/session"
)

// blobFiles is the storage's shared blob directory, and what is known of it.
type blobFiles struct {
	*blobdir.Dir
	path  string
	found []removal      // live blobs whose files lie in it
	tried int            // live blobs that were looked for
	other blobdir.Layout // where they were found, if not in the directory's own

	failed   error // why some files could not be removed
	failures int
}

// openBlobDir opens the blob directory, so that a wrong one is found out
// before anything is deleted. Nil without one.
func (p *pack) openBlobDir() (*blobFiles, error) {
	if p.target.BlobDir == "" {
		return nil, nil
	}
	dir, err := blobdir.Open(p.target.BlobDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &fault.Error{Code: fault.ExitFailure, Err: fmt.Errorf("blob directory %s does not exist: nothing was changed", p.target.BlobDir),
			Hint: "Mount it or correct blob-dir"}
	}
	if err != nil {
		return nil, &fault.Error{Code: fault.ExitFailure, Err: err, Hint: "Nothing was changed"}
	}
	return &blobFiles{Dir: dir, path: p.target.BlobDir}, nil
}

// enoughFound is how many live blobs are found before the directory is believed:
// one proves it, but that one may be written again until its word is needed.
const enoughFound = 5

// surveyBlobs finds out where blobs are, if any are to go: whether in the
// database, and if not, whether the directory is the storage's.
func (p *pack) surveyBlobs(ctx context.Context, dir *blobFiles) error {
	p.blobsInDatabase = p.target.BlobsInDatabase
	if p.blobsInDatabase {
		return p.missBlobIndex(ctx)
	}
	if p.report.chosenBlobs == 0 {
		var listed bool
		if err := p.conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM relpack.blob_removal)").Scan(&listed); err != nil {
			return fmt.Errorf("read relpack.blob_removal: %w", err)
		}
		if p.nothingListed = !listed; p.nothingListed {
			return nil
		}
	}
	if dir == nil {
		if err := p.missBlobIndex(ctx); err != nil {
			return err
		}
		return p.persist(ctx, "look for blobs in the database", func() (bool, error) {
			err := p.conn.QueryRow(ctx, "SELECT relpack.blobs_in_database()").Scan(&p.blobsInDatabase)
			return err == nil, err
		})
	}
	var live []removal
	if err := p.persist(ctx, "look for live blobs", func() (bool, error) {
		var err error
		live, err = session.Rows(ctx, p.conn, pgx.RowToStructByPos[removal], "SELECT zoid, tid, 0::bigint FROM relpack.live_blobs()")
		return err == nil, err
	}); err != nil {
		return err
	}
	if err := dir.prove(live); err != nil {
		return err
	}
	if layout := dir.other; layout != "" {
		p.log.Warn(fmt.Sprintf("%s: its .layout is missing or says %s, but blobs lie there as in %s", dir.path, dir.Layout(), layout))
	}
	return nil
}

// prove looks for live blobs. That none of them is there is refused: another
// storage's directory, or one that is not mounted.
func (d *blobFiles) prove(live []removal) error {
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
	if d.tried == 0 || len(d.found) > 0 {
		return nil
	}
	missed := fmt.Sprintf("%s is not there", d.File(live[0].Zoid, live[0].Tid))
	if first != nil {
		missed = first.Error()
	}
	return fault.Refuse("Nothing was deleted. Mount it, or name the right one; with --dsn and without --blob-dir the files stay listed",
		"blob directory %s: it holds the files of none of %s that were looked for (%s)", d.path, figures.Plural(int64(d.tried), "live blob"), missed)
}

// believed tells whether a file that is not there is gone. Without live blobs
// to look for, the marker has to do.
func (d *blobFiles) believed() bool {
	return len(d.found) > 0 || (d.tried == 0 && d.Marked())
}

// unproved says why blobs stay listed after a run that went well.
func (d *blobFiles) unproved() string {
	switch {
	case d.failures > 0:
		return "they could not be removed"
	case !d.believed():
		return fmt.Sprintf("they were not found, and nothing shows that %s is this storage's blob directory: it has no .layout", d.path)
	}
	return "they were not found, or were deleted in the meantime"
}

// missBlobIndex tells of a deletion that will take long.
func (p *pack) missBlobIndex(ctx context.Context) error {
	if p.report.chosenBlobs == 0 {
		return nil
	}
	err := p.conn.QueryRow(ctx, readMissingIndex, schema.WorthIndexing).Scan(&p.report.MissingIndex)
	if err != nil {
		return fmt.Errorf("look at blob_chunk: %w", err)
	}
	if p.report.MissingIndex != "" {
		p.log.Warn(slowWithoutIndex + p.report.MissingIndex)
	}
	return nil
}

const readMissingIndex = "SELECT coalesce((SELECT statement FROM relpack.missing_blob_index WHERE pages >= $1), '')"

const slowWithoutIndex = `deleting blobs is slow without an index, which "relpack migrate up" creates: `
