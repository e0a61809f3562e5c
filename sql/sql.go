// Package sql carries relpack's server code as it is now, a file per object.
package sql

import "embed"

// Files are the definitions, named after the function or view they create.
//
//go:embed *.sql
var Files embed.FS

// MissingPrivilege is the definition of relpack.missing_privilege().
//
//go:embed missing_privilege.sql
var MissingPrivilege string
