package pgtest

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWhereFilesAreInMemoryAndHowMuchIsLeftIsReadFromLinux(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("/dev/vda / ext4 rw 0 0\nnone /dev/shm tmpfs rw,nosuid 0 0\n")
	for dir, want := range map[string]string{"/": "ext4", "/dev/shm": "tmpfs", "/tmp": ""} {
		if got := fileSystem(file, dir); got != want {
			t.Errorf("%s is on %q, want %q", dir, got, want)
		}
	}
	write("MemTotal:       24689764 kB\nMemFree:        14859176 kB\nMemAvailable:   21993872 kB\nBuffers:          548432 kB\n")
	if got, want := availableMemory(file), uint64(21993872<<10); got != want {
		t.Errorf("%d bytes are available, want %d", got, want)
	}
	if got := availableMemory(filepath.Join(t.TempDir(), "none")); got != 0 {
		t.Errorf("%d bytes are available where nobody tells", got)
	}
}
