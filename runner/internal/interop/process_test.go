package interop

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A process runs beside the test: a writer, a reader, relpack.
type process struct {
	t              testing.TB
	name           string
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
	ended          chan struct{}
}

// start runs a program in the background; what is left of it at the end of the
// test is killed.
func (w *site) start(name string, args ...string) *process {
	w.t.Helper()
	p := &process{t: w.t, name: filepath.Base(name) + " " + strings.Join(args, " "), cmd: exec.Command(name, args...), ended: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = w.dir, &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	w.t.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		<-p.ended
	})
	return p
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// endsWithin waits for the end.
func (p *process) endsWithin(d time.Duration) bool {
	select {
	case <-p.ended:
		return true
	case <-time.After(d):
		return false
	}
}

// result waits for the end.
func (p *process) result() result {
	p.t.Helper()
	if !p.endsWithin(5 * time.Minute) {
		p.t.Fatalf("%s doesn't end", p.name)
	}
	return result{p.stdout.String(), p.stderr.String(), p.cmd.ProcessState.ExitCode()}
}

// An application is writers and readers at work.
type application struct {
	w         *site
	processes []*process
	writers   []*process
	logs      []string
	stop      sync.Once
}

// startApplication starts writers of a profile (see writer.py), one that
// commits to the objects 0, 1 and 23 all the time, readers, and one writer each
// of more profiles.
func (w *site) startApplication(profile string, writers, readers int, more ...string) *application {
	w.t.Helper()
	dir, err := os.MkdirTemp(w.dir, "application-")
	if err != nil {
		w.t.Fatal(err)
	}
	a := &application{w: w}
	run := func(script, profile string, seed int) {
		log := filepath.Join(dir, fmt.Sprintf("%s-%s-%d.log", script, profile, seed))
		p := w.start(w.python.Program("python"), script, w.config, profile, strconv.Itoa(seed), log)
		a.logs, a.processes = append(a.logs, log), append(a.processes, p)
		if script == "writer.py" {
			a.writers = append(a.writers, p)
		}
	}
	run("writer.py", "touch", 0)
	for i := range writers {
		run("writer.py", profile, i)
	}
	for i, profile := range more {
		switch profile {
		case "past":
			run("reader.py", profile, i)
		case "undo": // in an area of its own
			run("writer.py", profile, i)
		default:
			run("writer.py", profile, writers+i)
		}
	}
	for i := range readers {
		run("reader.py", "read", i)
	}
	for _, log := range a.logs {
		w.until("the application is at work", func() bool {
			_, err := os.Stat(log)
			return err == nil
		})
	}
	return a
}

// whileCalm does something while the writers make nothing new, and have nothing
// refer to what it did not refer to before.
func (a *application) whileCalm(do func()) {
	a.w.t.Helper()
	tell := func(calm int) {
		for _, p := range a.writers {
			p.signal(syscall.SIGUSR1)
		}
		a.w.until("the writers were told", func() bool {
			files, err := filepath.Glob(filepath.Join(filepath.Dir(a.logs[0]), "*.calm"))
			if err != nil {
				a.w.t.Fatal(err)
			}
			return len(files) == calm
		})
	}
	tell(len(a.writers))
	do()
	tell(0)
}

// until polls until the condition holds.
func (w *site) until(what string, condition func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("not in three minutes: %s", what)
		}
	}
}

// end stops all of it; nobody may have met an error.
func (a *application) end() {
	a.w.t.Helper()
	a.stop.Do(func() {
		for _, p := range a.processes {
			p.signal(syscall.SIGTERM)
		}
		var counts []string
		for _, p := range a.processes {
			r := p.result()
			if r.code != 0 {
				a.w.t.Errorf("%s: %v", p.name, r)
			} else {
				counts = append(counts, strings.TrimSpace(r.stdout))
			}
		}
		a.w.t.Logf("what the application did: %s", strings.Join(counts, ", "))
	})
}

// commits reads what the writers have logged.
func (a *application) commits() (all []commit) {
	a.w.t.Helper()
	for _, log := range a.logs {
		text, err := os.ReadFile(log)
		if err != nil {
			a.w.t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			start, err := strconv.ParseFloat(fields[0], 64)
			if err != nil {
				a.w.t.Fatalf("%s: %v", log, err)
			}
			seconds, err := strconv.ParseFloat(fields[1], 64)
			if err != nil {
				a.w.t.Fatalf("%s: %v", log, err)
			}
			all = append(all, commit{
				time.UnixMicro(int64(start * 1e6)), time.Duration(seconds * float64(time.Second)), strings.Join(fields[2:], " ")})
		}
	}
	return all
}

// A commit is one that a writer made.
type commit struct {
	start time.Time
	took  time.Duration
	what  string
}
