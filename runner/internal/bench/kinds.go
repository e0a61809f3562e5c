package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
)

// kinds packs after each of some changes that restructure_site.py makes.
func (s *realSite) kinds(ctx context.Context) error {
	for _, kind := range []struct{ what, name string }{
		{"delete", "a folder deleted"},
		{"move", "a folder moved"},
		{"catalog", "the catalog rebuilt"},
	} {
		step(kind.name)
		var did string
		written, err := s.writing(ctx, func() (err error) {
			did, err = s.script(ctx, "restructure_site.py", s.bench.dsn, "--what", kind.what, "--seed", s.nextSeed())
			return err
		})
		if err != nil {
			return err
		}
		if err := warm(ctx, s.bench.dsn); err != nil {
			return err
		}
		before, err := s.visited(ctx)
		if err != nil {
			return err
		}
		p, err := s.bench.pack(ctx, s.bench.dsn)
		if err != nil {
			return err
		}
		after, err := s.visited(ctx)
		if err != nil {
			return err
		}
		s.addKind(kind.name, did, p, written, after-before)
	}
	return nil
}

// addKind enters a pack after a change. Touched is what was written and what was cut
// off, which is deleted.
func (r *results) addKind(name, did string, p *packed, written, visited int64) {
	touched := written + p.Unreachable.Objects
	r.add(figure{Name: name, Value: p.Seconds, Unit: "s", Note: fmt.Sprintf("%s: %d objects written, %d detached, %d rows of the graph visited; %s",
		did, written, p.Unreachable.Objects, visited, p.phases())})
	r.add(figure{Name: name + ", an object touched", Value: 1e6 * ratio(p.Seconds, float64(touched)), Unit: "µs",
		Note: fmt.Sprintf("each of %d; %.3g rows visited for each", touched, ratio(float64(visited), float64(touched)))})
}

// visited is how many rows of the graph were read so far. A session counts what it
// has read before it is gone from the list of sessions.
func (b *bench) visited(ctx context.Context) (rows int64, err error) {
	err = connected(ctx, b.dsn, func(conn *pgx.Conn) error {
		for deadline := time.Now().Add(time.Minute); len(ourProcesses(ctx, conn)) > 0; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				return fmt.Errorf("a session of relpack does not end")
			}
		}
		return conn.QueryRow(ctx, `SELECT coalesce(sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)), 0)::bigint
			FROM pg_stat_user_tables WHERE schemaname = 'relpack' AND relname IN ('object', 'object_inref')`).Scan(&rows)
	})
	return rows, err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
