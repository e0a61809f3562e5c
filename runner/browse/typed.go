package browse

import (
	"os"

	"golang.org/x/sys/unix"
)

// forgetTyped discards what was typed so far: while a storage is measured there is nothing
// to see that it could be meant for.
func forgetTyped(terminal *os.File) error {
	return unix.IoctlSetInt(int(terminal.Fd()), unix.TCFLSH, unix.TCIFLUSH)
}
