package check

import (
	"context"
	"errors"
	"fmt"

	"relpack/runner/blobdir"
	"relpack/runner/fault"
	"relpack/runner/look"
	"relpack/runner/target"
)

// blobs is an open blob directory.
type blobs struct {
	*blobdir.Dir
	path string
}

// openBlobs opens the blob directory, where one is known.
func (r *Report) openBlobs(t target.Target) (*blobs, error) {
	switch {
	case t.BlobsInDatabase:
		r.Blobs.Why = "blobs are in the database"
		return nil, nil
	case t.BlobDir == "":
		r.Blobs.Why = "the blob directory is not known"
		return nil, nil
	}
	dir, err := blobdir.Open(t.BlobDir)
	if err != nil {
		return nil, &fault.Error{Code: fault.ExitFailure, Err: err}
	}
	r.Blobs.Files = true
	return &blobs{dir, t.BlobDir}, nil
}

// maxRechecked is how many blobs without a file are remembered to be looked for
// once more.
const maxRechecked = 100_000

// blobs finds live blobs whose content is gone.
func (c *checker) blobs(ctx context.Context) error {
	large, err := c.LargeObjects(ctx, c.max)
	if err != nil {
		return err
	}
	c.Blobs.InDatabase, c.Blobs.LargeObjects = large.Any, large.Missing
	if !large.Seen {
		c.Blobs.Why += "; this role may not read blob_chunk"
	}
	for _, id := range large.First {
		s, err := c.spot(ctx, id)
		if err != nil {
			return err
		}
		c.Blobs.FirstLarge = append(c.Blobs.FirstLarge, s)
	}
	if c.dir == nil {
		return nil
	}
	c.Progress().Phase("look for blob files", "objects", 0)
	defer c.Progress().End()
	missing, err := c.missingFiles(ctx)
	if err != nil {
		return err
	}
	return c.describeMissing(ctx, missing)
}

// missingFiles looks for the file of each live blob.
func (c *checker) missingFiles(ctx context.Context) (missing []look.Blob, err error) {
	err = c.EachBlob(ctx, func(some []look.Blob) error {
		for _, b := range some {
			there, err := c.dir.there(b)
			switch {
			case err != nil:
				return err
			case there:
				c.Blobs.Found++
				continue
			}
			if c.Blobs.Missing++; len(missing) < maxRechecked {
				missing = append(missing, b)
			}
		}
		return nil
	})
	return missing, err
}

// there tells whether a blob's file is. The application follows links.
func (d *blobs) there(b look.Blob) (bool, error) {
	layout, err := d.Find(b.Zoid, b.Tid)
	switch {
	case errors.Is(err, blobdir.ErrLink):
		return true, nil
	case err != nil:
		return false, &fault.Error{Code: fault.ExitFailure, Err: fmt.Errorf("blob directory: %w", err)}
	}
	return layout != "", nil
}

// describeMissing names blobs without a file, and then looks at them once more: what
// was deleted or written again since the check began has no such file any more.
func (c *checker) describeMissing(ctx context.Context, missing []look.Blob) error {
	spots := map[int64]Spot{}
	var live []look.Blob
	for _, b := range missing {
		// Of what was written since the last pack nobody has asked yet.
		if c.IsFresh(b.Zoid) || len(spots) < c.max {
			alive, err := c.IsAlive(ctx, b.Zoid)
			if err != nil {
				return err
			}
			if !alive {
				continue
			}
		}
		if live = append(live, b); len(spots) < c.max {
			s, err := c.spot(ctx, b.Zoid)
			if err != nil {
				return err
			}
			spots[b.Zoid] = s
		}
	}
	still, err := c.StoredNow(ctx, live)
	if err != nil {
		return fmt.Errorf("look once more at blobs without a file: %w", err)
	}
	gone := int64(0)
	for _, b := range still {
		there, err := c.dir.there(b)
		if err != nil {
			return err
		}
		if there {
			continue
		}
		gone++
		if s, named := spots[b.Zoid]; named {
			c.Blobs.First = append(c.Blobs.First, s)
		}
	}
	c.Blobs.Missing -= int64(len(missing)) - gone
	return nil
}
