package packtest

import (
	"strings"
	"testing"

	"relpack/runner/fault"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// ExpectState wants an error of the server with this SQLSTATE.
func ExpectState(t testing.TB, err error, state string) {
	t.Helper()
	if !fault.IsState(err, state) {
		t.Errorf("error %v, want SQLSTATE %s", err, state)
	}
}

// ExpectNothingDeleted wants a pack to be refused for safety before it deletes anything.
func ExpectNothingDeleted(t testing.TB, target target.Target) {
	t.Helper()
	report, err := pack.Run(t.Context(), target, Everything, Log(t))
	if fault.ExitCode(err) != fault.ExitRefused {
		t.Errorf("pack ended with %v, want a refusal", err)
	}
	if report.Deleted.Objects != 0 {
		t.Errorf("%d objects were deleted", report.Deleted.Objects)
	}
}

// ExpectRefusal wants the exit code of a refusal, one line, and these words.
func ExpectRefusal(t testing.TB, err error, words ...string) {
	t.Helper()
	ExpectError(t, err, fault.ExitRefused, words...)
}

// ExpectError wants this exit code and one line that is clear, with these words.
func ExpectError(t testing.TB, err error, code int, words ...string) {
	t.Helper()
	if got := fault.ExitCode(err); got != code {
		t.Fatalf("exit code %d, want %d: %v", got, code, err)
	}
	text := fault.Message(err)
	if strings.Contains(text, "\n") || strings.Contains(text, "context canceled") {
		t.Errorf("not a clear message: %q", text)
	}
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%q does not say %q", text, word)
		}
	}
}

// ExpectFailed wants an error that exits with 1 and says in one line what was
// wrong, in these words among others.
func ExpectFailed(t testing.TB, err error, words ...string) {
	t.Helper()
	ExpectError(t, err, fault.ExitFailure, words...)
}

// ExpectWords wants each of the words in a text.
func ExpectWords(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("no %q in\n%s", word, text)
		}
	}
}
