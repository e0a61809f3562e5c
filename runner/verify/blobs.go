package verify

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"relpack/runner/blobdir"
	"relpack/runner/blobs"
	"relpack/runner/fault"
)

// blobs finds live ones whose content is gone: large objects, or files where
// the blob directory is known.
func (v *verification) blobs(ctx context.Context) error {
	var settled bool
	if err := v.Conn.QueryRow(ctx, "SELECT NOT EXISTS (SELECT FROM relpack.suspect)").Scan(&settled); err != nil || !settled {
		return err // nobody knows which are alive
	}
	var broken int64
	var zoids []int64
	if err := v.Conn.QueryRow(ctx, `SELECT count(*), coalesce((array_agg(zoid ORDER BY zoid))[:10], '{}')
		FROM relpack.broken_blobs() AS broken (zoid)`).Scan(&broken, &zoids); err != nil {
		return fmt.Errorf("look for the large objects of blobs: %w", err)
	}
	v.Findings.Add("blob_without_large_object", broken, zoids)
	if v.dir == nil && v.forPack {
		return nil
	}
	if v.dir == nil || v.Target.BlobsInDatabase {
		return v.Looking(ctx, func() error {
			place, err := blobs.Where(ctx, v.Conn, v.Target.BlobsInDatabase)
			v.report.BlobsUnchecked = place.Elsewhere && !v.Target.BlobsInDatabase
			v.Findings.Add("blob_without_row", place.Lacking, place.First)
			return err
		})
	}
	v.filesFound = 0
	for after := int64(-1); ; {
		last, missing, err := v.missingFiles(ctx, after, nodesAtOnce)
		if err != nil {
			return err
		}
		for some := range chunkByZoid(missing) {
			// What was written or deleted in the meantime has another file, or none.
			_, again, err := v.missingFiles(ctx, some[0].zoid-1, 1)
			if err != nil {
				return err
			}
			again = slices.DeleteFunc(again, func(r revision) bool { return !slices.Contains(some, r) })
			if len(again) == 0 {
				continue
			}
			kind := "blob_without_file"
			if again[0].older {
				kind = "blob_without_old_file"
			}
			v.Findings.Add(kind, 1, []int64{some[0].zoid})
		}
		if last == nil {
			return nil
		}
		after = *last
	}
}

// A revision of a blob is an older one, or the one that is loaded.
type revision struct {
	zoid, tid int64
	older     bool
}

// chunkByZoid yields the revisions of each blob: a history has several.
func chunkByZoid(missing []revision) iter.Seq[[]revision] {
	return func(yield func([]revision) bool) {
		for len(missing) > 0 {
			n := slices.IndexFunc(missing, func(r revision) bool { return r.zoid != missing[0].zoid })
			if n < 0 {
				n = len(missing)
			}
			if !yield(missing[:n]) {
				return
			}
			missing = missing[n:]
		}
	}
}

// missingFiles looks for the files of the live blobs among the next nodes.
func (v *verification) missingFiles(ctx context.Context, after int64, nodes int) (last *int64, missing []revision, err error) {
	var zoids, tids []int64
	if err := v.Looking(ctx, func() error {
		return v.Conn.QueryRow(ctx, "SELECT last, zoids, tids FROM relpack.verify_blobs($1, $2)", after, nodes).
			Scan(&last, &zoids, &tids)
	}); err != nil {
		return nil, nil, fmt.Errorf("look for the files of blobs: %w", err)
	}
	for i, zoid := range zoids {
		layout, err := v.dir.Find(zoid, tids[i])
		switch {
		case errors.Is(err, blobdir.ErrLink): // the application follows it
			v.filesFound++
		case err != nil:
			return nil, nil, &fault.Error{Code: fault.ExitFailure, Err: fmt.Errorf("blob directory: %w", err)}
		case layout == "":
			missing = append(missing, revision{zoid, tids[i], i > 0 && zoids[i-1] == zoid})
		default:
			v.filesFound++
		}
	}
	return last, missing, nil
}
