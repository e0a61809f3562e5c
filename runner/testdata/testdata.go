// Package testdata carries the real sample data that relpack's tests and its
// demo load: a RelStorage 4.2 database with its blob directory, changes to it,
// and the objects that can't be reached from the root.
package testdata

import "embed"

// Small is the folder small/.
//
//go:embed small
var Small embed.FS
