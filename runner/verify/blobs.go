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
	if v.Target.BlobsInDatabase {
		return nil
	}
	if v.dir == nil && v.forPack {
		return nil
	}
	if v.dir == nil {
		if err := v.Looking(ctx, func() error {
			return v.Conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM relpack.live_blobs(1)) AND NOT relpack.blobs_in_database()").
				Scan(&v.report.BlobsUnchecked)
		}); err != nil {
			return fmt.Errorf("look for blobs in the database: %w", err)
		}
		return nil
	}
	v.filesFound = 0
	for after := int64(-1); ; {
		last, missing, err := v.missingFiles(ctx, after, nodesAtOnce)
		if err != nil {
			return err
		}
		for some := range chunkByZoid(missing) {
			// What was written or deleted in the meantime has another file, or none.
			_, again, err := v.missingFiles(ctx, some[0].Zoid-1, 1)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(again, func(blob blobs.Blob) bool { return slices.Contains(some, blob) }) {
				v.Findings.Add("blob_without_file", 1, []int64{some[0].Zoid})
			}
		}
		if last == nil {
			return nil
		}
		after = *last
	}
}

// chunkByZoid yields the revisions of each blob: a history has several.
func chunkByZoid(missing []blobs.Blob) iter.Seq[[]blobs.Blob] {
	return func(yield func([]blobs.Blob) bool) {
		for len(missing) > 0 {
			n := slices.IndexFunc(missing, func(blob blobs.Blob) bool { return blob.Zoid != missing[0].Zoid })
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
func (v *verification) missingFiles(ctx context.Context, after int64, nodes int) (last *int64, missing []blobs.Blob, err error) {
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
			missing = append(missing, blobs.Blob{Zoid: zoid, Tid: tids[i]})
		default:
			v.filesFound++
		}
	}
	return last, missing, nil
}
