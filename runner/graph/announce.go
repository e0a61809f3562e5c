package graph

import (
	"context"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"

	"relpack/runner/figures"
	"relpack/runner/record"
)

// What a first build takes at its peak for an object with its share of
// references: the graph itself and what is staged until it stands. Measured by
// "make bench"; runner/internal/bench/README.md has the figures.
const bytesPerObject = 480

// announceBuild says before a first build how much disk it needs, and how much
// is free where that can be seen: on the server itself.
func (p *Packer) announceBuild(ctx context.Context) error {
	objects, err := p.estimateObjects(ctx)
	if err != nil {
		return fmt.Errorf("estimate the number of objects: %w", err)
	}
	need := uint64(objects) * bytesPerObject
	text := fmt.Sprintf("building the graph: about %s; it takes about %s of disk for the graph, plus about the same for WAL",
		figures.Plural(objects, "object"), humanize.IBytes(need))
	if free, known := p.freeDisk(ctx); known {
		text += fmt.Sprintf("; free: %s", humanize.IBytes(free))
		if free < 2*need {
			p.Log.Warn(text)
			return nil
		}
	}
	p.Log.Info(text)
	return nil
}

// estimateObjects counts the rows of some blocks: statistics may be of the time
// before a load. A history-preserving storage has a row for each object in
// current_object, and many in object_state, of which a build stages one.
func (p *Packer) estimateObjects(ctx context.Context) (objects int64, err error) {
	const blocks = 500
	table, count := "public.object_state", "SELECT (count(*) * 100 / $1::float8)::bigint FROM public.object_state TABLESAMPLE SYSTEM ($1::float8)"
	if p.History {
		table, count = "public.current_object", "SELECT (count(*) * 100 / $1::float8)::bigint FROM public.current_object TABLESAMPLE SYSTEM ($1::float8)"
	}
	err = pgx.BeginTxFunc(ctx, p.Conn, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, record.LockStorage); err != nil {
			return err
		}
		var share float64 // per cent
		if err := tx.QueryRow(ctx, `SELECT least(100, 100.0 * $1::int * current_setting('block_size')::int
			/ greatest(pg_relation_size($2::text::regclass), 1))::float8`, blocks, table).Scan(&share); err != nil {
			return err
		}
		return tx.QueryRow(ctx, count, share).Scan(&objects)
	})
	return objects, err
}

// freeDisk is what is free where the server keeps its data, if it runs on this
// machine and tells us where.
func (p *Packer) freeDisk(ctx context.Context) (uint64, bool) {
	host := p.Conn.Config().Host
	if !strings.HasPrefix(host, "/") && host != "localhost" && host != "127.0.0.1" && host != "::1" {
		return 0, false
	}
	var dir string
	if err := p.Conn.QueryRow(ctx, "SELECT setting FROM pg_settings WHERE name = 'data_directory'").Scan(&dir); err != nil {
		return 0, false
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, false
	}
	return uint64(fs.Bavail) * uint64(fs.Bsize), true
}
