package preserved

import (
	"strings"
	"testing"
)

// Who meets a failure is handed a few lines that play it again.
func TestAHistoryThatFailsIsShortenedToAScriptThatPlays(t *testing.T) {
	t.Parallel()
	var packs *reference
	w := newWorker(t, func(w *worker) packer {
		packs = newReference(t)(w).(*reference)
		return packs
	})
	mistake := mistakes[1]
	packs.mistake = mistake.pair[:]
	seed := w.findFrom(t, mistake.seed, 50)
	whole, failed := playSeed(t.Context(), w, seed)
	if failed == nil {
		t.Fatal("nothing failed")
	}
	short, failed := shortened(t.Context(), w, whole, failed)
	text := formatScript(short)
	t.Logf("%v:\n%s", failed, text)
	if len(short) == 0 || len(short) > len(whole)/2 {
		t.Errorf("it has %d lines of %d", len(short), len(whole))
	}
	script, err := parseScript(text + "\n# a comment\n")
	if err != nil {
		t.Fatal(err)
	}
	if again := formatScript(script); again != text {
		t.Errorf("it reads as\n%s", again)
	}
	if err := playScript(t.Context(), w, script); err == nil {
		t.Error("it does not fail again")
	}
	packs.mistake = nil
	if err := playScript(t.Context(), w, script); err != nil {
		t.Errorf("it fails without the mistake: %v", err)
	}
	for _, line := range []string{"commit:cut age=x", "commit:cut x=plain[1]", "commit:cut 1=plain[x]"} {
		if s, err := parseScript(line); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q reads as %s: %v", line, formatScript(s), err)
		}
	}
}
