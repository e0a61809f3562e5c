package inventory

import (
	"context"
	"fmt"

	"relpack/runner/schema"
	"relpack/runner/session"
)

// MissingIndex is the statement that creates the index without which deleting
// blobs is slow; "": there is one, or it does not matter.
func MissingIndex(ctx context.Context, db session.Querier) (statement string, err error) {
	err = db.QueryRow(ctx, "SELECT coalesce((SELECT statement FROM relpack.missing_blob_index WHERE pages >= $1), '')",
		schema.WorthIndexing).Scan(&statement)
	if err != nil {
		return "", fmt.Errorf("look at blob_chunk: %w", err)
	}
	return statement, nil
}

// SlowWithoutIndex goes before the statement.
const SlowWithoutIndex = `deleting blobs is slow without an index, which "relpack migrate up" creates: `
