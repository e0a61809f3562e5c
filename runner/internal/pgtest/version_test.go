package pgtest

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestAVersionThatNobodyHasIsAnError(t *testing.T) {
	t.Parallel()
	_, err := FindVersion(t.Context(), 99, t.TempDir(), io.Discard)
	if err == nil || !strings.Contains(err.Error(), "PostgreSQL 99") {
		t.Errorf("error %v, want one that names PostgreSQL 99", err)
	}
}

func TestProgramsThatTheServersUserCannotReachAreCopied(t *testing.T) {
	t.Parallel()
	closed, open := filepath.Join(t.TempDir(), "closed"), t.TempDir()
	bin := filepath.Join(closed, "native", "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	fakePrograms(t, bin, "postgres (PostgreSQL) 18.4")
	if err := os.Symlink("postgres", filepath.Join(bin, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	found := Programs{Dir: bin, Major: 18}
	if same, err := found.within(open, account{}); err != nil || same != found {
		t.Errorf("%+v, %v; want no copy for the user of this process", same, err)
	}
	copied, err := found.within(open, account{&syscall.Credential{Uid: 65534, Gid: 65534}})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(copied.Dir, open) {
		t.Errorf("copied to %s", copied.Dir)
	}
	if _, err := inspect(t.Context(), copied.Dir); err != nil {
		t.Error(err)
	}
	if to, err := os.Readlink(filepath.Join(copied.Dir, "link")); err != nil || to != "postgres" {
		t.Errorf("the link leads to %q: %v", to, err)
	}
}
