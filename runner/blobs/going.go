package blobs

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

	"relpack/runner/blobdir"
	"relpack/runner/fault"
	"relpack/runner/session"
)

// Going is what would go with revisions of blobs that a pack deletes. Bytes are of the
// files, LargeObjectBytes of those large objects that this role may read.
type Going struct {
	Files            int64 `json:"files"`
	Bytes            int64 `json:"bytes"`
	LargeObjects     int64 `json:"large_objects"`
	LargeObjectBytes int64 `json:"large_object_bytes"`
	NotRead          int64 `json:"not_read"` // large objects whose length is not known

	// Wait is why a pack would leave the files of what it deletes from a history to a
	// later one; empty: it would not.
	Wait string `json:"wait,omitempty"`
}

// Add adds what is counted elsewhere.
func (g *Going) Add(o Going) {
	g.Files += o.Files
	g.Bytes += o.Bytes
	g.LargeObjects += o.LargeObjects
	g.LargeObjectBytes += o.LargeObjectBytes
	g.NotRead += o.NotRead
}

// goingAtOnce is of how many revisions the server is asked at once.
const goingAtOnce = 2_000

// Going counts what would go with revisions that a trim up to a tid deletes, or, where
// that is nil, with all of their objects. known is the number of revisions whose large
// objects are all of known length.
func (r *Remover) Going(ctx context.Context, zoids, tids []int64, until *int64) (g Going, known int64, err error) {
	for len(zoids) > 0 {
		if r.Stopped() {
			return g, known, fault.Interrupted
		}
		n := min(goingAtOnce, len(zoids))
		type revision struct {
			Zoid, Tid int64
			File      bool
			Large     int64
			Bytes     *int64
		}
		some, err := session.Rows(ctx, r.Conn, pgx.RowToStructByPos[revision],
			"SELECT zoid, tid, file, large, bytes FROM relpack.blobs_going($1, $2, $3)", zoids[:n], tids[:n], until)
		if err != nil {
			return g, known, fmt.Errorf("look for files and large objects that would go: %w", err)
		}
		for _, one := range some {
			g.LargeObjects += one.Large
			switch {
			case one.Large == 0:
			case one.Bytes == nil:
				g.NotRead += one.Large
			default:
				g.LargeObjectBytes += *one.Bytes
				known++
			}
			if one.File {
				if err := r.goingFile(one.Zoid, one.Tid, &g); err != nil {
					return g, known, err
				}
			}
		}
		zoids, tids = zoids[n:], tids[n:]
	}
	return g, known, nil
}

// goingFile counts a file, if it is there.
func (r *Remover) goingFile(zoid, tid int64, g *Going) error {
	if r.Dir == nil || r.inDatabase {
		r.unplaced = r.unplaced || !r.inDatabase && !r.Target.BlobsInDatabase
		return nil
	}
	bytes, found, err := r.Dir.Size(zoid, tid)
	if err != nil && !errors.Is(err, blobdir.ErrLink) {
		return &fault.Error{Code: fault.ExitFailure, Err: fmt.Errorf("blob directory: %w", err)}
	}
	if found {
		g.Files++
		g.Bytes += bytes
	}
	return nil
}

// Due counts files of blobs that were deleted before, and those that are missing.
func (r *Remover) Due(ctx context.Context) (g Going, missing Missing, err error) {
	if r.inDatabase {
		return g, missing, nil
	}
	if r.Dir != nil {
		if g, err = r.due(ctx); err != nil {
			return g, missing, err
		}
	}
	if err = r.countWaiting(ctx); err == nil && r.Dir != nil {
		err = r.nameMissing(ctx)
	}
	return g, r.count.Missing, err
}

func (r *Remover) due(ctx context.Context) (g Going, err error) {
	for last := (listed{Zoid: math.MinInt64}); ; {
		list, err := session.Rows(ctx, r.Conn, pgx.RowToStructByPos[listed],
			"SELECT zoid, tid, missed FROM relpack.blobs_due($1, $2, $3)", last.Zoid, last.Tid, blobList)
		if err != nil {
			return g, fmt.Errorf("read relpack.blob_removal: %w", err)
		}
		if len(list) == 0 {
			return g, nil
		}
		for _, blob := range list {
			if r.Stopped() {
				return g, fault.Interrupted
			}
			if blob.Missed {
				where := r.again(blob)
				if where == isFresh {
					r.back++
				}
				if where != isBack {
					continue
				}
			}
			if err := r.goingFile(blob.Zoid, blob.Tid, &g); err != nil {
				return g, err
			}
		}
		last = list[len(list)-1]
	}
}
