package fault

import "slices"

// gravity orders exit codes, the worst last.
var gravity = []int{ExitDone, ExitLocked, ExitRefused, ExitFailure, ExitUsage, ExitInterrupted}

// WorseExit returns the worse of two exit codes: interrupted, then failed, then
// refused, then locked, then done. It is what a command that worked on several
// storages exits with.
func WorseExit(a, b int) int {
	if slices.Index(gravity, b) > slices.Index(gravity, a) {
		return b
	}
	return a
}
