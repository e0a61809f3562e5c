package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
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
func anonymous(pid int) int64 { return procValue(pid, "status", "RssAnon:") }

// procValue reads a number of bytes out of /proc, 0 if it can't.
func procValue(pid int, file, label string) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
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
