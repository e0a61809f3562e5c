package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Options say how a private server is to run. The zero value suits tests.
type Options struct {
	// Settings are configuration parameters on top of the defaults of this
	// package, as in postgresql.conf: {"shared_preload_libraries": "auto_explain"}.
	Settings map[string]string
	// Durable keeps fsync and full_page_writes on, as in production. Without
	// it the server survives its own crash (StopImmediate), not the machine's.
	Durable bool
	// Dir is an existing directory to create the server's directory in.
	// Default: a directory in memory, if it need not be durable and TMPDIR is not
	// set; the directory for temporary files.
	Dir string
	// Keep leaves the server running when this process ends without Close.
	Keep bool
	// Programs are the server programs to use. Default: those of FindOrInstall.
	Programs Programs
	// Extensions are installed before the server starts where they are missing
	// and this user may, by their names in Debian's postgresql-15-name; that one
	// could not be is said on Progress, and the server starts without it.
	Extensions []string
	// Progress receives what is worth a word: an installation. Default: os.Stderr.
	Progress io.Writer
}

// Server is a private PostgreSQL: superuser "postgres", no passwords, a socket
// in its own directory and a free port on 127.0.0.1. It ends with Close, and
// with this process however that ends.
type Server struct {
	programs  Programs
	account   account
	dir       string // everything of this server
	socketDir string // dir, or a shorter one where dir is too long for a socket
	port      int
	watchdog  *watchdog
}

// startTimeout bounds the start and the stop of a server: a busy machine needs
// seconds.
const startTimeout = 2 * time.Minute

// maxSocketDir is how long the path of a socket's directory may be: macOS
// allows 103 bytes for it with the socket's name, ".s.PGSQL.65535".
const maxSocketDir = 103 - len("/.s.PGSQL.65535")

// Start creates a private server and waits until it accepts connections. It
// installs PostgreSQL where there is none, if it may (see FindOrInstall).
func Start(ctx context.Context, opts Options) (*Server, error) {
	progress := opts.Progress
	if progress == nil {
		progress = os.Stderr
	}
	programs := opts.Programs
	if programs == (Programs{}) {
		var err error
		if programs, err = FindOrInstall(ctx, progress); err != nil {
			return nil, err
		}
	}
	for _, name := range opts.Extensions {
		if err := programs.installExtension(ctx, name, progress); err != nil {
			fmt.Fprintf(progress, "going on without the extension %s: %v\n", name, err)
		}
	}
	who, err := serverAccount()
	if err != nil {
		return nil, err
	}
	s := &Server{programs: programs, account: who}
	if err := s.makeDirs(opts); err != nil {
		return nil, errors.Join(err, s.remove())
	}
	if s.programs, err = programs.within(s.dir, who); err != nil {
		return nil, errors.Join(err, s.remove())
	}
	if !opts.Keep {
		if s.watchdog, err = s.watch(); err != nil {
			return nil, errors.Join(err, s.remove())
		}
	}
	if err := s.create(ctx, opts); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) makeDirs(opts Options) error {
	parent := opts.Dir
	if parent == "" && !opts.Durable && os.Getenv("TMPDIR") == "" {
		parent = memoryDir()
	}
	if parent == "" {
		parent = s.account.temporary()
	}
	if !s.account.reaches(parent) {
		return fmt.Errorf("make a directory for a private PostgreSQL: its user may not enter %s", parent)
	}
	dir, err := os.MkdirTemp(parent, "relpack-pg-")
	if err != nil {
		return fmt.Errorf("make a directory for a private PostgreSQL: %w", err)
	}
	s.dir, s.socketDir = dir, dir
	if len(dir) > maxSocketDir {
		if s.socketDir, err = os.MkdirTemp("/tmp", "relpack-pg-"); err != nil {
			return fmt.Errorf("make a directory for the socket of a private PostgreSQL: %w", err)
		}
	}
	for _, own := range []string{s.dir, s.socketDir} {
		if err := s.account.give(own); err != nil {
			return err
		}
	}
	return nil
}

// create makes the cluster and starts it.
func (s *Server) create(ctx context.Context, opts Options) error {
	if out, err := s.command(ctx, "initdb", "--pgdata", s.dataDir(), "--username=postgres",
		"--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync").CombinedOutput(); err != nil {
		return fmt.Errorf("create a private PostgreSQL in %s: %w: %s", s.dir, err, strings.TrimSpace(string(out)))
	}
	if err := s.configure(opts); err != nil {
		return err
	}
	return s.startOnFreePort(ctx)
}

// startOnFreePort asks the system for a free port and starts the server on it,
// with another port when somebody else was faster.
func (s *Server) startOnFreePort(ctx context.Context) error {
	var err error
	for range 5 {
		if s.port, err = freePort(); err != nil {
			return err
		}
		if err = s.start(ctx); err == nil || ctx.Err() != nil {
			return err
		}
		if !strings.Contains(err.Error(), "Address already in use") {
			return err
		}
	}
	return err
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port on 127.0.0.1: %w", err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		return 0, fmt.Errorf("find a free port on 127.0.0.1: %w", err)
	}
	return port, nil
}

func (s *Server) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	out, err := s.command(ctx, "pg_ctl", "start", "--pgdata", s.dataDir(), "--log", s.LogFile(),
		"--wait", "--timeout", seconds(startTimeout), "--silent",
		"--options", fmt.Sprintf("-p %d", s.port)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("start a private PostgreSQL in %s: %w: %s\n%s",
			s.dir, err, strings.TrimSpace(string(out)), s.logTail())
	}
	return nil
}

func (s *Server) stop(mode string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if !s.running(ctx) {
		return nil
	}
	out, err := s.command(ctx, "pg_ctl", "stop", "--pgdata", s.dataDir(), "--mode", mode,
		"--wait", "--timeout", seconds(startTimeout), "--silent").CombinedOutput()
	if err != nil {
		return fmt.Errorf("stop the private PostgreSQL in %s: %w: %s", s.dir, err, strings.TrimSpace(string(out)))
	}
	return nil
}

func (s *Server) running(ctx context.Context) bool {
	return s.command(ctx, "pg_ctl", "status", "--pgdata", s.dataDir()).Run() == nil
}

// StopImmediate stops the server as a crash would: nothing is flushed, no
// client is told. Restart starts it again, on the same port.
func (s *Server) StopImmediate() error { return s.stop("immediate") }

// Restart starts a stopped server again, and a running one after an immediate
// stop. It returns when the recovery is done.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.StopImmediate(); err != nil {
		return err
	}
	return s.start(ctx)
}

// Close stops the server and removes its directory. Clients are cut off.
func (s *Server) Close() error {
	if err := s.stop("fast"); err != nil {
		return err // the watchdog will have to do it
	}
	return errors.Join(s.watchdog.dismiss(), s.remove())
}

func (s *Server) remove() error {
	var errs []error
	for _, dir := range []string{s.dir, s.socketDir} {
		if dir != "" {
			errs = append(errs, os.RemoveAll(dir))
		}
	}
	return errors.Join(errs...)
}

// BinDir is the directory of this server's programs; psql is usually there too.
func (s *Server) BinDir() string { return s.programs.Dir }

// Version is the server's major version.
func (s *Server) Version() int { return s.programs.Major }

// Dir is the directory that holds everything of this server.
func (s *Server) Dir() string { return s.dir }

// LogFile is the path of the server's log.
func (s *Server) LogFile() string { return filepath.Join(s.dir, "server.log") }

func (s *Server) dataDir() string { return filepath.Join(s.dir, "data") }

// logTail is the end of the server's log, for error messages.
func (s *Server) logTail() string {
	text, err := os.ReadFile(s.LogFile())
	if err != nil {
		return ""
	}
	const enough = 2000
	if len(text) > enough {
		text = text[len(text)-enough:]
	}
	return strings.TrimSpace(string(text))
}

// command prepares a server program that runs as the server's user, free of
// libpq's environment variables, which would lead it elsewhere.
func (s *Server) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.programs.Dir, program), args...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = s.account.attributes()
	cmd.Env = cleanEnvironment()
	return cmd
}

func cleanEnvironment() []string {
	var env []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "PG") && !strings.HasPrefix(entry, "LC_") {
			env = append(env, entry)
		}
	}
	return append(env, "LC_ALL=C")
}

func seconds(d time.Duration) string { return fmt.Sprint(int(d.Seconds())) }
