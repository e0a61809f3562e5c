package figures

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// PeakMemory is the most memory that this process had resident, in bytes.
func PeakMemory() int64 {
	// On Linux getrusage counts what the parent had when it started us.
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		var kib int64
		if _, rest, found := strings.Cut(string(status), "VmHWM:"); found {
			if _, err := fmt.Sscan(rest, &kib); err == nil {
				return kib * 1024
			}
		}
	}
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	if runtime.GOOS == "darwin" {
		return usage.Maxrss
	}
	return usage.Maxrss * 1024
}
