package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/pack"
)

// program runs the relpack that is measured.
func (b *bench) program(ctx context.Context, args ...string) ([]byte, error) {
	ran, err := runProgram(ctx, b.options.relpack, args...)
	return ran.printed, err
}

// ran is what a program printed, how long it ran, and the memory that it had at
// most, 0 where /proc doesn't tell.
type ran struct {
	printed []byte
	seconds float64
	memory  int64
}

func runProgram(ctx context.Context, name string, args ...string) (r ran, err error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return r, err
	}
	// Not the child's ru_maxrss: Linux counts this process's size in, which it
	// had for a moment before exec.
	done, peak := make(chan struct{}), make(chan int64)
	go func() {
		var most int64
		for tick := time.NewTicker(10 * time.Millisecond); ; {
			select {
			case <-done:
				tick.Stop()
				peak <- most
				return
			case <-tick.C:
				most = max(most, procValue(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid), "VmHWM:"))
			}
		}
	}()
	err = cmd.Wait()
	r.seconds = time.Since(start).Seconds()
	close(done)
	r.memory = <-peak
	if err != nil {
		return r, fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, tail(errs.String()))
	}
	r.printed = out.Bytes()
	return r, nil
}

// tail is the end of what a program says.
func tail(text string) string {
	text = strings.TrimSpace(text)
	return text[max(len(text)-2000, 0):]
}

func (b *bench) programVersion(ctx context.Context) string {
	out, err := b.program(ctx, "--version")
	if err != nil {
		return "unknown"
	}
	return strings.TrimPrefix(strings.TrimSpace(string(out)), "relpack ")
}

// packed is a run of relpack pack, with what the server spent on it.
type packed struct {
	pack.Report
	process float64 // seconds from its start to its end
	client  int64   // memory of the process, bytes
	memory  serverMemory
	wal     int64 // bytes
}

// pack runs relpack pack on a database.
func (b *bench) pack(ctx context.Context, dsn string, args ...string) (*packed, error) {
	p := &packed{}
	before, err := b.walPosition(ctx)
	if err != nil {
		return nil, err
	}
	watch, err := b.watchMemory(ctx, dsn)
	if err != nil {
		return nil, err
	}
	ran, err := runProgram(ctx, b.options.relpack,
		append([]string{"pack", "--dsn", dsn, "--days", fmt.Sprint(cmp.Or(b.days, -1)), "--json", "--quiet"}, args...)...)
	p.memory = watch()
	if err != nil {
		return nil, err
	}
	var reports []json.RawMessage
	if err := json.Unmarshal(ran.printed, &reports); err != nil || len(reports) != 1 {
		return nil, fmt.Errorf("read relpack's report: %d storages, %w", len(reports), err)
	}
	if err := json.Unmarshal(reports[0], &p.Report); err != nil {
		return nil, fmt.Errorf("read relpack's report: %w", err)
	}
	p.process = ran.seconds
	if p.client = ran.memory; p.client == 0 {
		p.client = p.PeakMemory
	}
	after, err := b.walPosition(ctx)
	p.wal = after - before
	return p, err
}

// phase is how long a phase of the run took, in seconds.
func (p *packed) phase(name string) float64 {
	for _, phase := range p.Phases {
		if phase.Name == name {
			return phase.Seconds
		}
	}
	return 0
}

// finding is the time up to the choice of what to delete.
func (p *packed) finding() float64 {
	return p.Seconds - p.phase("sweep") - p.phase("blobs") - p.phase("vacuum")
}

func (p *packed) phases() string {
	var parts []string
	for _, phase := range p.Phases {
		if phase.Seconds >= 0.0005 {
			parts = append(parts, fmt.Sprintf("%s %.3g", phase.Name, phase.Seconds))
		}
	}
	return strings.Join(parts, ", ") + " s"
}

func (b *bench) walPosition(ctx context.Context) (bytes int64, err error) {
	err = connected(ctx, b.maintenance, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").Scan(&bytes)
	})
	return bytes, err
}
