package progress

import (
	"strings"
	"testing"
	"time"

	"relpack/runner/internal/pgtest"
)

func TestALogLineTellsDoneOfTotalRateAndTimeLeft(t *testing.T) {
	t.Parallel()
	phase := &loggedPhase{name: "scan", unit: "blocks", total: 5000}
	for _, test := range []struct {
		done    int64
		elapsed time.Duration
		want    string
	}{
		{0, 10 * time.Second, "scan: 0 of 5,000 blocks (0 %)"},
		{1200, 10 * time.Second, "scan: 1,200 of 5,000 blocks (24 %), 120 blocks/s, 32s left"},
		{2, time.Minute, "scan: 2 of 5,000 blocks (0 %), 2.0 blocks/min, 41h39m0s left"},
		{5000, time.Minute, "scan: 5,000 of 5,000 blocks (100 %), 83 blocks/s"},
		{6000, time.Minute, "scan: 6,000 of 5,000 blocks (100 %), 100 blocks/s"},
	} {
		if got := phase.line(test.done, test.elapsed); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
	endless := &loggedPhase{name: "scan", unit: "blocks"}
	if got := endless.line(50, 10*time.Second); got != "scan: 50 blocks, 5 blocks/s" {
		t.Errorf("%q", got)
	}
}

func TestALogTellsOfAPhaseNowAndThen(t *testing.T) {
	t.Parallel()
	log := &pgtest.Log{}
	p := NewLog(log.Logger())
	p.every = 5 * time.Millisecond
	p.Phase("scan", "blocks", 10)
	p.Add(4)
	log.Wait(t, "scan: 4 of 10 blocks")
	p.Phase("delete", "objects", 20)
	log.Wait(t, "delete: 0 of 20 objects")
	p.End()
	p.End()
	before := log.String()
	time.Sleep(20 * time.Millisecond)
	if log.String() != before {
		t.Error("it goes on after the end")
	}
}

func TestATerminalShowsABarThatMakesRoomForMessages(t *testing.T) {
	t.Parallel()
	screen := &pgtest.Log{}
	p := NewTerminal(screen)
	for _, total := range []int64{10, 0} {
		p.Phase("scan", "blocks", total)
		time.Sleep(150 * time.Millisecond) // more often the bar isn't drawn
		p.Add(4)
		p.Add(100) // beyond an estimate
		if _, err := p.Write([]byte("a message\n")); err != nil {
			t.Fatal(err)
		}
		p.Add(1)
		p.End()
	}
	p.Add(1)
	text := screen.String()
	for _, words := range []string{"scan", "4/10", "blocks/s", "\ra message\n"} {
		if !strings.Contains(text, words) {
			t.Errorf("no %q, or it runs into something else: %q", words, text)
		}
	}
}
