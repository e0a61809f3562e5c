//go:build unix

package conninfo

import (
	"io/fs"
	"syscall"
)

// othersMay are the bits that must not be set on a key file.
func othersMay(info fs.FileInfo) fs.FileMode {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid == 0 {
		return 0o027
	}
	return 0o077
}
