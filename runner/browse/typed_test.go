package browse

import (
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// newTerminal is a pseudoterminal: what is written to keys is typed on the screen's side.
func newTerminal(t *testing.T) (keys, terminal *os.File) {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keys.Close() })
	number, err := unix.IoctlGetInt(int(keys.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(keys.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	return keys, terminal
}

// Typed while the next storage is measured, a q would end its browser at once.
func TestWhatWasTypedBeforeTheBrowserIsThereIsNotTaken(t *testing.T) {
	t.Parallel()
	keys, terminal := newTerminal(t)
	press := func(text string) {
		t.Helper()
		if _, err := keys.WriteString(text); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond) // until the terminal has it
	}
	press("qj\nq")
	if err := forgetTyped(terminal); err != nil {
		t.Fatal(err)
	}
	if _, err := term.MakeRaw(int(terminal.Fd())); err != nil {
		t.Fatal(err)
	}
	press("s")
	got := make([]byte, 100)
	if n, err := terminal.Read(got); err != nil || string(got[:n]) != "s" {
		t.Errorf("%q, %v", got[:n], err)
	}
}
