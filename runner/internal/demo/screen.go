package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"
)

// screen is where the demo plays: plain text, on a terminal with commands in
// bold.
type screen struct{ bold, plain string }

func newScreen() screen {
	if term.IsTerminal(int(os.Stdout.Fd())) {
		return screen{"\x1b[1m", "\x1b[0m"}
	}
	return screen{}
}

func (s screen) title(text string) { fmt.Printf("\n--- %s\n\n", text) }

func (s screen) say(format string, args ...any) { fmt.Printf(format+"\n", args...) }

func (s screen) command(prompt, text string) {
	fmt.Printf("%s%s%s%s\n", prompt, s.bold, text, s.plain)
}

// run shows a command and runs it in the site's directory. Its standard error
// goes where its output goes, so that the demo reads in one piece.
func (s *site) run(ctx context.Context, command string) error {
	s.screen.command("$ ", command)
	return s.execute(ctx, strings.Fields(command)...)
}

// query shows a statement and has psql execute it.
func (s *site) query(ctx context.Context, statement string) error {
	s.screen.command("site=> ", strings.ReplaceAll(statement, "\n", "\nsite-> "))
	return s.execute(ctx, s.psql, "--no-psqlrc", "--pset=pager=off", "--command", statement)
}

// endTime is how long an interrupted command may take to end.
const endTime = 5 * time.Second

func (s *site) execute(ctx context.Context, args ...string) error {
	program := args[0]
	if program == "relpack" {
		program = filepath.Join(s.dir, program)
	}
	cmd := exec.CommandContext(ctx, program, args[1:]...)
	cmd.Dir, cmd.Env = s.dir, s.environment()
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = endTime
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(args, " "), err)
	}
	return nil
}
