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
	history               bool // one that preserves it
	past                  int  // so often it was changed since it was made
	changes               int
}

// A siteTable is one of the tables that make a site, each after those that it refers to.
type siteTable struct {
	name, columns, order string
	conflict             string // what becomes of a row of a later transaction that is there already
}

func (s *realSite) tables() []siteTable {
	if s.history {
		return []siteTable{
			{"transaction", "tid, packed, is_empty, username, description, extension", "tid", "DO NOTHING"},
			{"object_state", "zoid, tid, prev_tid, md5, state_size, state", "tid, zoid", "DO NOTHING"},
			{"current_object", "zoid, tid", "zoid", "(zoid) DO UPDATE SET tid = excluded.tid"},
		}
	}
	return []siteTable{{"object_state", "zoid, tid, state_size, state", "tid, zoid",
		"(zoid) DO UPDATE SET tid = excluded.tid, state_size = excluded.state_size, state = excluded.state"}}
}

// file is where the site is kept, the last of its tables; beside it, as JSON, is what was
// measured on it.
func (s *realSite) file() string {
	return filepath.Join(s.cache, s.kept(fmt.Sprint(s.objects), fmt.Sprint(s.options.seed)))
}

// kept is the name of a file.
func (s *realSite) kept(objects, seed string) string {
	if s.history {
		return fmt.Sprintf("history-%s-%s-%d", objects, seed, s.past)
	}
	return fmt.Sprintf("site-%s-%s", objects, seed)
}

// tableFile is where one of the tables is kept.
func (s *realSite) tableFile(name string) string {
	if tables := s.tables(); tables[len(tables)-1].name == name {
		return s.file()
	}
	return s.file() + "." + name
}

// script runs one on a database; it returns the last line that it printed.
func (s *realSite) script(ctx context.Context, name, dsn string, args ...string) (string, error) {
	args = append([]string{filepath.Join(s.scripts, name), "--dsn", dsn, "--blob-dir", s.blobs}, args...)
	if s.history {
		args = append(args, "--keep-history")
	}
	ran, err := runProgram(ctx, s.python, args...)
	lines := strings.Split(strings.TrimSpace(string(ran.printed)), "\n")
	return lines[len(lines)-1], err
}

// fill makes the site, or loads the one that was kept.
func (s *realSite) fill(ctx context.Context) error {
	if _, err := os.Stat(s.file()); err == nil {
		step("load the site")
		s.changes = changesOfARound * s.past
		if _, err := runProgram(ctx, s.python, s.peer.script, "create", s.config); err != nil {
			return err
		}
		return connected(ctx, s.peer.dsn, func(conn *pgx.Conn) error { return s.load(ctx, conn) })
	}
	step("make the site")
	if _, err := s.script(ctx, "make_site.py", s.peer.dsn, "--objects", fmt.Sprint(s.objects), "--seed", fmt.Sprint(s.seed)); err != nil {
		return err
	}
	if err := s.live(ctx); err != nil {
		return err
	}
	return connected(ctx, s.peer.dsn, func(conn *pgx.Conn) error {
		if err := s.save(ctx, conn); err != nil || !s.history {
			return err
		}
		return s.load(ctx, conn) // without what growing old has left behind
	})
}

func (s *realSite) save(ctx context.Context, conn *pgx.Conn) error {
	if err := os.MkdirAll(s.cache, 0o755); err != nil {
		return err
	}
	for _, table := range s.tables() {
		path := s.tableFile(table.name)
		file, err := os.Create(path + ".part")
		if err != nil {
			return err
		}
		_, err = conn.PgConn().CopyTo(ctx, file, fmt.Sprintf("COPY (SELECT %s FROM %s ORDER BY %s) TO STDOUT (FORMAT binary)",
			table.columns, table.name, table.order))
		if err := errors.Join(err, file.Close()); err != nil {
			return err
		}
		if err := os.Rename(path+".part", path); err != nil {
			return err
		}
	}
	return s.count(ctx, conn)
}

func (s *realSite) load(ctx context.Context, conn *pgx.Conn) error {
	for _, table := range s.tables() {
		if _, err := conn.Exec(ctx, "TRUNCATE "+table.name+" CASCADE"); err != nil {
			return err
		}
		file, err := os.Open(s.tableFile(table.name))
		if err != nil {
			return err
		}
		_, err = conn.PgConn().CopyFrom(ctx, file, fmt.Sprintf("COPY %s (%s) FROM STDIN (FORMAT binary)", table.name, table.columns))
		if err := errors.Join(err, file.Close()); err != nil {
			return err
		}
	}
	// RelStorage gives out sixteen ids for each number of the sequence.
	if _, err := conn.Exec(ctx, "SELECT setval('zoid_seq', (SELECT max(zoid) FROM object_state) / 16 + 2)"); err != nil {
		return err
	}
	return s.count(ctx, conn)
}

// count counts the objects.
func (s *realSite) count(ctx context.Context, conn *pgx.Conn) error {
	for _, table := range s.tables() {
		if _, err := conn.Exec(ctx, "VACUUM ANALYZE "+table.name); err != nil {
			return err
		}
	}
	// Either has a row for each object.
	return conn.QueryRow(ctx, "SELECT count(*) FROM "+s.tables()[len(s.tables())-1].name).Scan(&s.bench.Objects)
}

// nextSeed makes each change another one.
func (s *realSite) nextSeed() string {
	s.changes++
	return fmt.Sprint(s.options.seed*1000 + uint64(s.changes))
}

// edit changes 0.1 % of the site in relpack's database; it returns how many rows were
// written.
func (s *realSite) edit(ctx context.Context, look ...func(conn *pgx.Conn, before int64) error) (written int64, err error) {
	return s.writing(ctx, func() error {
		_, err := s.script(ctx, "change_site.py", s.bench.dsn, "--fraction", "0.001", "--seed", s.nextSeed())
		return err
	}, look...)
}

// change edits the site, and writes the same rows into zodbpack's database.
func (s *realSite) change(ctx context.Context) (written int64, err error) {
	rows := make([][][]any, len(s.tables()))
	written, err = s.edit(ctx, func(conn *pgx.Conn, before int64) (err error) {
		for i, table := range s.tables() {
			if rows[i], err = rowsOf(ctx, conn, fmt.Sprintf("SELECT %s FROM %s WHERE tid > $1", table.columns, table.name), before); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return written, connected(ctx, s.peer.dsn, func(conn *pgx.Conn) error {
		for i, table := range s.tables() {
			if err := table.enter(ctx, conn, rows[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// enter writes rows of later transactions.
func (t siteTable) enter(ctx context.Context, conn *pgx.Conn, rows [][]any) error {
	changed := "changed_" + t.name
	if _, err := conn.Exec(ctx, fmt.Sprintf("CREATE TEMPORARY TABLE %s (LIKE %s)", changed, t.name)); err != nil {
		return err
	}
	if _, err := conn.CopyFrom(ctx, pgx.Identifier{changed}, strings.Split(t.columns, ", "), pgx.CopyFromRows(rows)); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, fmt.Sprintf("INSERT INTO %s (%[2]s) SELECT %[2]s FROM %s ON CONFLICT %s", t.name, t.columns, changed, t.conflict))
	return err
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
