package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"relpack/runner/fault"
)

// grace is how long a command that must end at once may tidy up.
const grace = 2 * time.Second

// together is how long signals count as one: timeout(1) sends its own to the command, and
// then to its group.
const together = 500 * time.Millisecond

// onSignals calls first on the first SIGINT or SIGTERM. On the second it calls
// second, and ends the process soon.
func onSignals(first, second func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		first()
		time.Sleep(together)
		for len(signals) > 0 {
			<-signals
		}
		<-signals
		second()
		time.Sleep(grace)
		os.Exit(fault.ExitInterrupted)
	}()
}
