//go:build !unix

package conninfo

import "io/fs"

// othersMay: permissions are no mode bits here, and libpq doesn't look either.
func othersMay(fs.FileInfo) fs.FileMode { return 0 }
