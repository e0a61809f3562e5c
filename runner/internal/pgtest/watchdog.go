package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
)

// watchdog is a shell that waits for the end of this process: a pipe that only
// this process holds open then reads as ended, whether it returned, panicked,
// was interrupted or killed, on every Unix. (A signal on the parent's death is
// Linux's alone, and goes with the thread that started the child.) The shell
// then stops the server and removes its directory.
type watchdog struct {
	command *exec.Cmd
	leash   io.WriteCloser
}

// The word "dismissed" on the pipe says that Close has done everything.
const watchdogScript = `
read -r word
test "$word" = dismissed && exit 0
"$1" stop --pgdata "$2" --mode immediate --silent
cd / && rm -rf "$3" "$4"
`

func (s *Server) watch() (*watchdog, error) {
	shell := s.command(context.Background(), "pg_ctl") // for its user and environment
	cmd := exec.Command("/bin/sh", "-c", watchdogScript, "relpack-pgtest-watchdog",
		shell.Path, s.dataDir(), s.dir, s.socketDir)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = shell.Dir, shell.Env, shell.SysProcAttr
	leash, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("watch over the private PostgreSQL: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("watch over the private PostgreSQL: %w", err)
	}
	return &watchdog{cmd, leash}, nil
}

func (w *watchdog) dismiss() error {
	if w == nil {
		return nil
	}
	_, err := io.WriteString(w.leash, "dismissed\n")
	if err := errors.Join(err, w.leash.Close(), w.command.Wait()); err != nil {
		return fmt.Errorf("dismiss the watchdog of the private PostgreSQL: %w", err)
	}
	return nil
}
