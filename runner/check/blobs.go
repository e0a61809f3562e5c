package check

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"relpack/runner/blobdir"
	packed "relpack/runner/blobs"
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
		r.Blobs.Why = "the blob directory is not known. " + packed.NameDir(t)
		return nil, nil
	}
	opened, err := packed.Open(t.BlobDir)
	if err != nil {
		return nil, err
	}
	dir := opened.Dir
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
	settled := c.inDatabase
	if c.dir == nil && large.Any {
		// Where nearly all are in the database, or all have to be, the others are nowhere else.
		n, first, known, err := c.Lacking(ctx, c.inDatabase, c.max)
		if err != nil {
			return err
		}
		if settled = known; known {
			large.Missing += n
			large.First = append(large.First, first...)
			large.First = large.First[:min(len(large.First), c.max)]
		}
	}
	c.Blobs.InDatabase, c.Blobs.LargeObjects = large.Any, large.Missing
	if c.Blobs.unseen = !large.Seen; !large.Seen {
		c.Blobs.Why += "; this role may not read blob_chunk"
	}
	for _, id := range large.First {
		s, err := c.spot(ctx, id)
		if err != nil {
			return err
		}
		c.Blobs.FirstLarge = append(c.Blobs.FirstLarge, s)
	}
	if settled {
		return nil
	}
	if c.dir == nil {
		return c.filesNeeded(ctx)
	}
	var missing []look.Blob
	c.Progress().Phase("look for blob files", "objects", 0)
	defer c.Progress().End()
	if err := c.Pause(ctx, func() error {
		return c.EachBlob(ctx, func(some []look.Blob) error { return c.find(some, &missing) })
	}); err != nil {
		return err
	}
	fresh, err := c.NewBlobs(ctx)
	if err != nil {
		return err
	}
	if err := c.find(fresh, &missing); err != nil {
		return err
	}
	return c.describeMissing(ctx, missing)
}

// filesNeeded tells whether there would have been files to look for.
func (c *checker) filesNeeded(ctx context.Context) error {
	if c.inDatabase {
		return nil
	}
	place, err := c.BlobPlace(ctx)
	switch {
	case err != nil:
		return err
	case place.Elsewhere:
		c.Blobs.Needed, c.Blobs.InDatabase = true, false
	case !place.Here:
		c.Blobs.Why = "there is no live blob"
	}
	return nil
}

// find looks for the files of blobs.
func (c *checker) find(some []look.Blob, missing *[]look.Blob) error {
	for _, b := range some {
		there, err := c.dir.there(b)
		switch {
		case err != nil:
			return err
		case there:
			c.Blobs.Found++
			continue
		}
		if c.Blobs.Missing++; len(*missing) < maxRechecked {
			*missing = append(*missing, b)
		}
	}
	return nil
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

// describeMissing looks once more at blobs without a file, and names some: what was
// deleted, written again or cut off since its file was looked for needs none any more.
func (c *checker) describeMissing(ctx context.Context, missing []look.Blob) error {
	for chunk := range slices.Chunk(missing, 1000) {
		zoids := make([]int64, len(chunk))
		for i, b := range chunk {
			zoids[i] = b.Zoid
		}
		objects, err := c.Objects(ctx, zoids)
		if err != nil {
			return err
		}
		verdicts, err := c.Judge(ctx, objects)
		if err != nil {
			return err
		}
		for i, o := range objects {
			there, err := c.dir.there(chunk[i])
			if err != nil {
				return err
			}
			alive := verdicts[i] == look.Alive
			if verdicts[i] == look.Unknown {
				if alive, err = c.IsAlive(ctx, o.Zoid); err != nil {
					return err
				}
			}
			if there || o.Tid != chunk[i].Tid || !alive {
				c.Blobs.Missing--
				continue
			}
			if len(c.Blobs.First) >= c.max {
				continue
			}
			s, err := c.spot(ctx, o.Zoid)
			if err != nil {
				return err
			}
			c.Blobs.First = append(c.Blobs.First, s)
		}
	}
	return nil
}
