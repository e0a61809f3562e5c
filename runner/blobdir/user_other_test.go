//go:build !linux

package blobdir_test

import (
	"os"
	"testing"
)

// asOrdinaryUser runs f, which needs an ordinary user: for root, permissions
// mean nothing.
func asOrdinaryUser(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() == 0 {
		t.Skip("root may read and write everything")
	}
	f()
}
