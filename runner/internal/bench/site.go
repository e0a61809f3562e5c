package main

import (
	"context"
	"embed"
	"errors"
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

// realSite is a site that the scripts made.
type realSite struct {
	*bench
	*peer
	scripts, blobs, cache string
	changes               int
}

// file is where the site is kept; beside it, as JSON, is what was measured on it.
func (s *realSite) file() string {
	return filepath.Join(s.cache, fmt.Sprintf("site-%d-%d", s.objects, s.options.seed))
}

// script runs one on a database; it returns the last line that it printed.
func (s *realSite) script(ctx context.Context, name, dsn string, args ...string) (string, error) {
	ran, err := runProgram(ctx, s.python, append([]string{filepath.Join(s.scripts, name), "--dsn", dsn, "--blob-dir", s.blobs}, args...)...)
	lines := strings.Split(strings.TrimSpace(string(ran.printed)), "\n")
	return lines[len(lines)-1], err
}

// fill makes the site, or loads the one that was kept.
func (s *realSite) fill(ctx context.Context) error {
	if _, err := os.Stat(s.file()); err == nil {
		step("load the site")
		if _, err := runProgram(ctx, s.python, s.peer.script, "create", s.config); err != nil {
			return err
		}
		return connected(ctx, s.peer.dsn, func(conn *pgx.Conn) error { return s.load(ctx, conn) })
	}
	step("make the site")
	if _, err := s.script(ctx, "make_site.py", s.peer.dsn, "--objects", fmt.Sprint(s.objects), "--seed", fmt.Sprint(s.seed)); err != nil {
		return err
	}
	return connected(ctx, s.peer.dsn, func(conn *pgx.Conn) error { return s.save(ctx, conn) })
}

func (s *realSite) save(ctx context.Context, conn *pgx.Conn) error {
	if err := os.MkdirAll(s.cache, 0o755); err != nil {
		return err
	}
	file, err := os.Create(s.file() + ".part")
	if err != nil {
		return err
	}
	_, err = conn.PgConn().CopyTo(ctx, file, "COPY (SELECT zoid, tid, state_size, state FROM object_state ORDER BY tid, zoid) TO STDOUT (FORMAT binary)")
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := os.Rename(s.file()+".part", s.file()); err != nil {
		return err
	}
	return s.count(ctx, conn)
}

func (s *realSite) load(ctx context.Context, conn *pgx.Conn) error {
	file, err := os.Open(s.file())
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

// nextSeed makes each change another one.
func (s *realSite) nextSeed() string {
	s.changes++
	return fmt.Sprint(s.options.seed*1000 + uint64(s.changes))
}

// change edits 0.1 % of the site in relpack's database, and writes the same rows
// into zodbpack's; it returns how many.
func (s *realSite) change(ctx context.Context) (written int64, err error) {
	var rows [][]any
	written, err = s.writing(ctx, func() error {
		_, err := s.script(ctx, "change_site.py", s.bench.dsn, "--fraction", "0.001", "--seed", s.nextSeed())
		return err
	}, func(conn *pgx.Conn, before int64) (err error) {
		rows, err = rowsOf(ctx, conn, "SELECT zoid, tid, state_size, state FROM object_state WHERE tid > $1", before)
		return err
	})
	if err != nil {
		return 0, err
	}
	return written, connected(ctx, s.peer.dsn, func(conn *pgx.Conn) error {
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

// writing counts the objects that something writes into relpack's database, and
// looks at it afterwards.
func (s *realSite) writing(ctx context.Context, do func() error, look ...func(conn *pgx.Conn, before int64) error) (written int64, err error) {
	var before int64
	if err := connected(ctx, s.bench.dsn, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT max(tid) FROM object_state").Scan(&before)
	}); err != nil {
		return 0, err
	}
	if err := do(); err != nil {
		return 0, err
	}
	err = connected(ctx, s.bench.dsn, func(conn *pgx.Conn) error {
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM object_state WHERE tid > $1", before).Scan(&written); err != nil {
			return err
		}
		for _, look := range look {
			if err := look(conn, before); err != nil {
				return err
			}
		}
		return nil
	})
	return written, err
}
