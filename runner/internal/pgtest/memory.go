package pgtest

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// memoryNeeded is how much must be free in memory for a server to live there: the whole
// suite takes a third of it.
const memoryNeeded = 8 << 30

// memoryDir is where Linux keeps files in memory, if there is room enough, or nothing.
// A server that need not survive the machine's crash makes and drops its hundreds of
// databases faster there.
func memoryDir() string {
	const dir = "/dev/shm"
	if fileSystem("/proc/mounts", dir) != "tmpfs" {
		return ""
	}
	var stat syscall.Statfs_t
	if syscall.Statfs(dir, &stat) != nil || uint64(stat.Bavail)*uint64(stat.Bsize) < memoryNeeded ||
		availableMemory("/proc/meminfo") < memoryNeeded {
		return ""
	}
	return dir
}

// fileSystem is the type of what is mounted at a directory; empty: nothing is.
func fileSystem(mounts, dir string) (found string) {
	text, _ := os.ReadFile(mounts) // there is none but on Linux
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) > 2 && words[1] == dir {
			found = words[2]
		}
	}
	return found
}

// availableMemory is what Linux says that programs could still have.
func availableMemory(meminfo string) (bytes uint64) {
	text, _ := os.ReadFile(meminfo)
	for line := range strings.Lines(string(text)) {
		if _, err := fmt.Sscanf(line, "MemAvailable: %d kB", &bytes); err == nil {
			return bytes << 10
		}
	}
	return 0
}
