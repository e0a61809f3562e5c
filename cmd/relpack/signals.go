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

// onSignals calls first on the first SIGINT or SIGTERM. On the second it calls
// second, and ends the process soon.
func onSignals(first, second func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		first()
		<-signals
		second()
		time.Sleep(grace)
		os.Exit(fault.ExitInterrupted)
	}()
}
