package inventory

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"relpack/runner/session"
)

// MissingIndex is the statement that creates the index without which deleting
// blobs is slow; "": there is one, or it does not matter.
func MissingIndex(ctx context.Context, db session.Querier) (statement string, err error) {
	err = db.QueryRow(ctx, "SELECT coalesce((SELECT statement FROM relpack.missing_blob_index WHERE notable), '')").
		Scan(&statement)
	if err != nil {
		return "", fmt.Errorf("look at blob_chunk: %w", err)
	}
	return statement, nil
}

// MissingIndexes tells of each index that is missing, where it matters, what is slow
// and the statement.
func MissingIndexes(ctx context.Context, db session.Querier) ([]string, error) {
	found, err := session.Rows(ctx, db, pgx.RowTo[string],
		"SELECT slow || $1 || statement FROM relpack.missing_index WHERE notable ORDER BY table_name", withoutIndex)
	if err != nil {
		return nil, fmt.Errorf("look for missing indexes: %w", err)
	}
	return found, nil
}

const withoutIndex = ` is slow without an index, which "relpack migrate up" creates: `

// SlowWithoutIndex goes before the statement.
const SlowWithoutIndex = "deleting blobs" + withoutIndex
