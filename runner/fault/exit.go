package fault

import "slices"

// Outcome names how a command ended: as well if err is nil, and else as its exit
// code says: interrupted, refused, locked or failed.
func Outcome(err error, well string) string {
	if err == nil {
		return well
	}
	switch ExitCode(err) {
	case ExitInterrupted:
		return "interrupted"
	case ExitRefused:
		return "refused"
	case ExitLocked:
		return "locked"
	}
	return "failed"
}

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
