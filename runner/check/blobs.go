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

// inDatabase tells why no files are looked for.
const inDatabase = "blobs are in the database"

// openBlobs opens the blob directory, where one is known.
func (r *Report) openBlobs(t target.Target) (*blobs, error) {
	switch {
	case t.BlobsInDatabase:
		r.Blobs.Why = inDatabase
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

// maxRechecked is how many revisions without a file are remembered to be looked for
// once more, and maxFiles how many of one blob are named.
const (
	maxRechecked = 100_000
	maxFiles     = 10
)

// blobs finds live blobs whose content is gone.
func (c *checker) blobs(ctx context.Context) error {
	large, err := c.LargeObjects(ctx, c.max)
	if err != nil {
		return err
	}
	settled := c.inDatabase
	if c.dir == nil && (large.Any || c.inDatabase && large.Seen) {
		// Where nearly all are in the database, or all have to be, the others are nowhere else.
		n, first, known, err := c.Lacking(ctx, c.inDatabase, c.max)
		if err != nil {
			return err
		}
		if settled = known; known {
			c.Blobs.Why = inDatabase
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
	search := fileSearch{checker: c, last: -1}
	c.Progress().Phase("look for blob files", "objects", 0)
	defer c.Progress().End()
	if err := c.Pause(ctx, func() error { return c.EachBlob(ctx, true, search.find) }); err != nil {
		return err
	}
	fresh, err := c.NewBlobs(ctx)
	if err != nil {
		return err
	}
	if err := search.find(fresh); err != nil {
		return err
	}
	c.Blobs.uncertain = c.Blobs.live == 0 && c.Graph.Uncertain != ""
	return search.describe(ctx)
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
	case !place.Here && c.Graph.Uncertain != "":
		c.Blobs.uncertain = true
	case !place.Here:
		c.Blobs.Why = "there is no live blob"
	}
	return nil
}

// fileSearch looks for the files of blobs.
type fileSearch struct {
	*checker
	missing []lacking // the first that were found
	kept    int       // revisions of these
	last    int64     // the last blob that was counted
}

// lacking is a blob without the files of some revisions.
type lacking struct {
	zoid  int64
	tids  []int64 // of these, the newest first
	older bool    // none of them is the current one
}

// find looks for the files of blobs, of which all revisions are there, the newest first.
func (f *fileSearch) find(some []look.Blob) error {
	for i, b := range some {
		older := i > 0 && some[i-1].Zoid == b.Zoid
		if !older {
			f.Blobs.live++
		}
		there, err := f.dir.there(b)
		switch {
		case err != nil:
			return err
		case there:
			f.Blobs.Found++
			continue
		case f.last != b.Zoid:
			*f.Blobs.count(older)++
			if f.kept < maxRechecked {
				f.missing = append(f.missing, lacking{zoid: b.Zoid, older: older})
			}
		}
		f.last = b.Zoid
		if last := len(f.missing) - 1; last >= 0 && f.missing[last].zoid == b.Zoid {
			f.missing[last].tids = append(f.missing[last].tids, b.Tid)
			f.kept++
		}
	}
	return nil
}

// count is how many blobs lack a file: the current one, or only older ones.
func (b *Blobs) count(older bool) *int64 {
	if older {
		return &b.MissingOlder
	}
	return &b.Missing
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

// describe looks once more at blobs without a file, and names some: what was deleted,
// written again or cut off since its file was looked for needs none any more.
func (f *fileSearch) describe(ctx context.Context) error {
	for chunk := range slices.Chunk(f.missing, 1000) {
		zoids := make([]int64, len(chunk))
		for i, b := range chunk {
			zoids[i] = b.zoid
		}
		objects, err := f.Objects(ctx, zoids)
		if err != nil {
			return err
		}
		verdicts, err := f.Judge(ctx, objects)
		if err != nil {
			return err
		}
		revisions, err := f.Revisions(ctx, zoids)
		if err != nil {
			return err
		}
		tids := map[int64][]int64{}
		for _, r := range revisions {
			tids[r.Zoid] = append(tids[r.Zoid], r.Tid)
		}
		for i, b := range chunk {
			alive := verdicts[i] == look.Alive
			if verdicts[i] == look.Unknown {
				if alive, err = f.IsAlive(ctx, b.zoid); err != nil {
					return err
				}
			}
			*f.Blobs.count(b.older)--
			if !alive {
				continue
			}
			if err := f.again(ctx, b, tids[b.zoid]); err != nil {
				return err
			}
		}
	}
	return nil
}

// again counts a blob that still lacks files of what is stored, and describes one of the
// first.
func (f *fileSearch) again(ctx context.Context, b lacking, stored []int64) error {
	still := MissingBlob{Files: []File{}}
	older := true
	for i, tid := range stored {
		if !slices.Contains(b.tids, tid) {
			continue
		}
		there, err := f.dir.there(look.Blob{Zoid: b.zoid, Tid: tid})
		if err != nil {
			return err
		}
		if there {
			continue
		}
		older = older && i > 0
		if still.Count++; len(still.Files) < maxFiles {
			still.Files = append(still.Files, File{tid, f.dir.Below(b.zoid, tid)})
		}
	}
	if still.Count == 0 {
		return nil
	}
	*f.Blobs.count(older)++
	first := &f.Blobs.First
	if older {
		first = &f.Blobs.FirstOlder
	}
	if len(*first) >= f.max {
		return nil
	}
	var err error
	still.Spot, err = f.spot(ctx, b.zoid)
	*first = append(*first, still)
	return err
}
