package why

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"relpack/runner/blobdir"
	"relpack/runner/figures"
)

// undecodable tells why the state of an object can't be read; "" for nothing.
func (q question) undecodable(ctx context.Context) (string, error) {
	problem, known, err := q.ProblemOf(ctx, q.about.Zoid)
	switch {
	case err != nil:
		return "", err
	case known && problem.Offset >= 0:
		return fmt.Sprintf("%s at byte %d", problem.Reason, problem.Offset), nil
	case known:
		return problem.Reason, nil
	}
	return "", nil
}

// bare tells what a live object lacks beside its state: a row in current_object, or the
// content of a blob; "" for nothing.
func (q question) bare(ctx context.Context) (string, error) {
	if q.KeepsHistory() {
		bare, err := q.StillUncurrent(ctx, []int64{q.about.Zoid})
		if err != nil {
			return "", err
		}
		if len(bare) > 0 {
			return bare[0].Reason, nil
		}
	}
	if !q.about.IsBlob() {
		return "", nil
	}
	return q.content(ctx)
}

// content tells what a blob lacks, as far as it is known where it must be. Who looks from a
// machine without the blob directory gets all else.
func (q question) content(ctx context.Context) (string, error) {
	rows, gone, err := q.Chunks(ctx, q.about.Zoid)
	switch {
	case err != nil:
		return "", err
	case gone:
		return "its large object is gone", nil
	case q.place.BlobsInDatabase && rows != nil && !*rows:
		return "it has no row in blob_chunk, and so no large object", nil
	case q.place.BlobsInDatabase || q.place.BlobDir == "":
		return "", nil
	}
	dir, err := blobdir.Open(q.place.BlobDir)
	if err != nil {
		return "", nil
	}
	defer func() { _ = dir.Close() }()
	revisions, err := q.Revisions(ctx, []int64{q.about.Zoid})
	if err != nil {
		return "", err
	}
	var texts []string
	older := int64(0)
	for i, r := range revisions {
		layout, err := dir.Find(r.Zoid, r.Tid)
		switch {
		case errors.Is(err, blobdir.ErrLink) || layout != "": // the application follows it
		case err != nil:
			return fmt.Sprintf("its file can't be looked for: %v", err), nil
		case i == 0:
			texts = append(texts, "its file "+dir.Below(r.Zoid, r.Tid)+" is not in the blob directory")
		default:
			older++
		}
	}
	switch {
	case older > 0 && texts == nil:
		texts = append(texts, "the blob directory has no file of "+figures.Plural(older, "older revision"))
	case older > 0:
		texts = append(texts, "and no file of "+figures.Plural(older, "older revision"))
	}
	return strings.Join(texts, ", "), nil
}
