package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// serverMemory is the private memory that relpack's server processes had at
// most: one of them, and all at a time. Zero where /proc doesn't tell.
type serverMemory struct{ one, all int64 }

// watchMemory samples them until the returned function is called.
func (b *bench) watchMemory(ctx context.Context, dsn string) (stop func() serverMemory, err error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, err
	}
	done, result := make(chan struct{}), make(chan serverMemory)
	go func() {
		var peak serverMemory
		for tick := time.NewTicker(50 * time.Millisecond); ; {
			select {
			case <-done:
				tick.Stop()
				_ = conn.Close(context.WithoutCancel(ctx))
				result <- peak
				return
			case <-tick.C:
			}
			var all int64
			for _, pid := range ourProcesses(ctx, conn) {
				bytes := anonymous(pid)
				all += bytes
				peak.one = max(peak.one, bytes)
			}
			peak.all = max(peak.all, all)
		}
	}()
	return func() serverMemory {
		close(done)
		return <-result
	}, nil
}

// ourProcesses are relpack's sessions and the parallel workers of these.
func ourProcesses(ctx context.Context, conn *pgx.Conn) []int {
	rows, err := conn.Query(ctx, `SELECT pid FROM pg_stat_activity
		WHERE application_name LIKE 'relpack%' AND datname = current_database()`)
	if err != nil {
		return nil
	}
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return nil // the next sample may do better
	}
	return pids
}

// anonymous memory of a process: its own, without the shared buffers. The kernel
// keeps count of it; smaps would have it look at each page of the buffers, while
// the process waits for it where it touches a new one.
func anonymous(pid int) int64 { return procValue(fmt.Sprintf("/proc/%d/status", pid), "RssAnon:") }

// populate takes free memory and gives it back, half of what there is at most.
// A virtual machine may return free pages to its host, and to get a new one
// costs five times as much as to write it: a server that runs for a while
// doesn't pay for that.
func populate(bytes int64) error {
	bytes = min(bytes, procValue("/proc/meminfo", "MemFree:")/2)
	if bytes == 0 {
		return nil
	}
	block, err := syscall.Mmap(-1, 0, int(bytes), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return fmt.Errorf("take %d bytes of memory: %w", bytes, err)
	}
	for i := 0; i < len(block); i += os.Getpagesize() {
		block[i] = 1
	}
	return syscall.Munmap(block)
}

// procValue reads a number of bytes out of a file of /proc, 0 if it can't.
func procValue(path, label string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == label {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				return 0
			}
			return kib << 10
		}
	}
	return 0
}
