package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
)

// realScripts make and change a site through the real RelStorage: BTrees split,
// buckets chain and tids come as they do in production.
//
//go:embed realdata/*.py
var realScripts embed.FS

// onReal measures relpack and zodbpack on a site that RelStorage wrote. What was
// made is kept in a directory for the next run.
func onReal(ctx context.Context, args []string) (err error) {
	f := flag.NewFlagSet("bench real", flag.ContinueOnError)
	o := options{}
	objects, seed := sizeFlags(f)
	f.StringVar(&o.relpack, "relpack", "bin/relpack", "the `program` to measure")
	f.StringVar(&o.peer, "peer", ".cache/peer", "RelStorage is installed into this `directory` if it isn't there")
	f.StringVar(&o.json, "json", "", "write the figures to this `file`")
	f.StringVar(&o.dsn, "dsn", "", "use a running server, by a superuser's connection `string`, not a private one")
	cache := f.String("cache", ".cache/real", "the `directory` in which sites are kept")
	if err := f.Parse(args); err != nil {
		return err
	}
	o.objects, o.seed = *objects, *seed
	b := &bench{options: o, results: newResults(o)}
	stop, err := b.server(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := b.onRealSite(ctx, *cache); err != nil {
		return err
	}
	fmt.Println()
	if err := b.write(os.Stdout); err != nil || o.json == "" {
		return err
	}
	return b.save(o.json)
}

func (b *bench) onRealSite(ctx context.Context, cache string) (err error) {
	p, err := b.installPeer(ctx)
	if err != nil {
		return err
	}
	work := filepath.Dir(p.config)
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if err := writeScripts(work); err != nil {
		return err
	}
	name := fmt.Sprintf("relpack_real_%d", os.Getpid())
	theirs, drop, err := b.newDatabase(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	if err := p.configure(theirs); err != nil {
		return err
	}
	site := realSite{bench: b, peer: p, scripts: work, blobs: filepath.Join(work, "blobs"),
		file: filepath.Join(cache, fmt.Sprintf("site-%d-%d", b.objects, b.seed))}
	if err := site.fill(ctx); err != nil {
		return err
	}
	copied := name + "_copy"
	if err := b.copyDatabase(ctx, name, copied); err != nil {
		return err
	}
	b.database, b.dsn = copied, strings.Replace(theirs, name, copied, 1)
	defer func() { err = errors.Join(err, b.dropDatabase(context.WithoutCancel(ctx), copied)) }()
	if err := connected(ctx, b.dsn, func(conn *pgx.Conn) error { b.conn = conn; return b.floor(ctx) }); err != nil {
		return err
	}
	if err := b.firstOfBoth(ctx, p); err != nil {
		return err
	}
	if err := b.depth(ctx, "first pack"); err != nil {
		return err
	}
	if err := b.deletionOfBoth(ctx, p); err != nil {
		return err
	}
	b.changeBoth = site.change
	if err := b.secondOfBoth(ctx, p); err != nil {
		return err
	}
	return b.depth(ctx, "changes")
}

func writeScripts(dir string) error {
	files, err := fs.ReadDir(realScripts, "realdata")
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := realScripts.ReadFile("realdata/" + file.Name())
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, file.Name()), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// depth enters how far from the root objects are in relpack's tree.
func (b *bench) depth(ctx context.Context, after string) error {
	var mean, most float64
	err := connected(ctx, b.dsn, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, "SET work_mem = '256MB'"); err != nil {
			return err
		}
		return conn.QueryRow(ctx, `
			WITH RECURSIVE tree (zoid, depth) AS (
				SELECT 0::bigint, 0
				UNION ALL
				SELECT object.zoid, tree.depth + 1
				FROM tree JOIN relpack.object ON object.parent = tree.zoid AND object.zoid <> 0
			)
			SELECT avg(depth)::float8, max(depth)::float8 FROM tree`).Scan(&mean, &most)
	})
	b.add(figure{Name: "depth of the tree after the " + after, Value: mean, Unit: "levels", Note: fmt.Sprintf("on average; %g at most", most)})
	return err
}

// realSite is a site that the scripts made.
type realSite struct {
	*bench
	*peer
	scripts, blobs, file string
	changes              int
}

func (s *realSite) script(ctx context.Context, name string, args ...string) error {
	_, err := runProgram(ctx, s.python, append([]string{filepath.Join(s.scripts, name), "--blob-dir", s.blobs}, args...)...)
	return err
}

// fill makes the site, or loads the one that was kept.
func (s *realSite) fill(ctx context.Context) error {
	if _, err := os.Stat(s.file); err == nil {
		step("load the site")
		if _, err := runProgram(ctx, s.python, s.peer.script, "create", s.config); err != nil {
			return err
		}
		return connected(ctx, s.peer.dsn, func(conn *pgx.Conn) error { return s.load(ctx, conn) })
	}
	step("make the site")
	if err := s.script(ctx, "make_site.py", "--dsn", s.peer.dsn, "--objects", fmt.Sprint(s.objects), "--seed", fmt.Sprint(s.seed)); err != nil {
		return err
	}
	return connected(ctx, s.peer.dsn, func(conn *pgx.Conn) error { return s.save(ctx, conn) })
}

func (s *realSite) save(ctx context.Context, conn *pgx.Conn) error {
	if err := os.MkdirAll(filepath.Dir(s.file), 0o755); err != nil {
		return err
	}
	file, err := os.Create(s.file + ".part")
	if err != nil {
		return err
	}
	_, err = conn.PgConn().CopyTo(ctx, file, "COPY (SELECT zoid, tid, state_size, state FROM object_state ORDER BY tid, zoid) TO STDOUT (FORMAT binary)")
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := os.Rename(s.file+".part", s.file); err != nil {
		return err
	}
	return s.count(ctx, conn)
}

func (s *realSite) load(ctx context.Context, conn *pgx.Conn) error {
	file, err := os.Open(s.file)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if _, err := conn.Exec(ctx, "TRUNCATE object_state CASCADE"); err != nil {
		return err
	}
	if _, err := conn.PgConn().CopyFrom(ctx, file, "COPY object_state (zoid, tid, state_size, state) FROM STDIN (FORMAT binary)"); err != nil {
		return err
	}
	// RelStorage gives out sixteen ids for each number of the sequence.
	if _, err := conn.Exec(ctx, "SELECT setval('zoid_seq', (SELECT max(zoid) FROM object_state) / 16 + 2)"); err != nil {
		return err
	}
	return s.count(ctx, conn)
}

func (s *realSite) count(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "VACUUM ANALYZE object_state"); err != nil {
		return err
	}
	return conn.QueryRow(ctx, "SELECT count(*) FROM object_state").Scan(&s.bench.Objects)
}

// change edits 0.1 % of the site in relpack's database, and writes the same rows
// into zodbpack's.
func (s *realSite) change(ctx context.Context) error {
	s.changes++
	var before int64
	if err := connected(ctx, s.bench.dsn, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT max(tid) FROM object_state").Scan(&before)
	}); err != nil {
		return err
	}
	if err := s.script(ctx, "change_site.py", "--dsn", s.bench.dsn, "--fraction", "0.001", "--seed", fmt.Sprint(s.seed*100+uint64(s.changes))); err != nil {
		return err
	}
	var rows [][]any
	if err := connected(ctx, s.bench.dsn, func(conn *pgx.Conn) (err error) {
		rows, err = rowsOf(ctx, conn, "SELECT zoid, tid, state_size, state FROM object_state WHERE tid > $1", before)
		return err
	}); err != nil {
		return err
	}
	return connected(ctx, s.peer.dsn, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, "CREATE TEMPORARY TABLE changed (LIKE object_state)"); err != nil {
			return err
		}
		columns := []string{"zoid", "tid", "state_size", "state"}
		if _, err := conn.CopyFrom(ctx, pgx.Identifier{"changed"}, columns, pgx.CopyFromRows(rows)); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, `INSERT INTO object_state (zoid, tid, state_size, state) SELECT zoid, tid, state_size, state FROM changed
			ON CONFLICT (zoid) DO UPDATE SET tid = excluded.tid, state_size = excluded.state_size, state = excluded.state`)
		return err
	})
}
