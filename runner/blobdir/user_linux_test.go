package blobdir_test

import (
	"os"
	"runtime"
	"syscall"
	"testing"
)

// asOrdinaryUser runs f with an ordinary user's rights to files: for root,
// permissions mean nothing. On Linux a single thread can give them up; it is
// not used again afterwards.
func asOrdinaryUser(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends here
		const nobody = 65534
		if err := syscall.Setfsuid(nobody); err != nil {
			t.Errorf("give up root's rights to files: %v", err)
			return
		}
		f()
	}()
	<-done
}
