// Package migrations carries the goose migrations that install the schema
// relpack.
//
// Tables are written by hand. Functions and views live in the directory sql,
// one file each; a migration holds a snapshot of those that changed, written
// by "go generate ./migrations": Up the new text, Down the previous one.
package migrations

import "embed"

// Files are the migrations, in goose's format.
//
//go:embed *.sql
var Files embed.FS

//go:generate go run ./internal/snapshot
