package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/pyenv"
	"relpack/runner/internal/zodbgen"
)

//go:embed peer.py
var peerScript []byte

// peer is an installation of RelStorage, and a configuration file for its
// programs.
type peer struct {
	python, zodbpack, script, config, dsn string
	history                               bool // keep-history true
}

// comparePeer runs zodbpack and relpack on copies of one database.
func (b *bench) comparePeer(ctx context.Context) (err error) {
	p, err := b.installPeer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(filepath.Dir(p.config))) }()
	name := fmt.Sprintf("relpack_peer_%d", os.Getpid())
	theirs, drop, err := b.newDatabase(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	if err := p.configure(theirs); err != nil {
		return err
	}
	if err := b.fillPeer(ctx, p, theirs); err != nil {
		return err
	}
	copied := name + "_copy"
	if err := b.copyDatabase(ctx, name, copied); err != nil {
		return err
	}
	b.database, b.dsn = copied, strings.Replace(theirs, name, copied, 1)
	defer func() {
		if !b.keep {
			err = errors.Join(err, b.dropDatabase(context.WithoutCancel(ctx), copied))
		}
	}()
	if _, err := b.firstOfBoth(ctx, p); err != nil {
		return err
	}
	if _, err := b.deletionOfBoth(ctx, p); err != nil {
		return err
	}
	b.changeBoth = func(ctx context.Context) (int64, error) { return b.commitTo(ctx, b.dsn, p.dsn) }
	if err := b.secondOfBoth(ctx, p, 100, 500); err != nil {
		return err
	}
	if _, err := b.commitTo(ctx, b.dsn); err != nil {
		return err
	}
	step("relpack, bare rows")
	return b.bareRows(ctx)
}

// commitTo commits the next 0.1 % of changes to databases; it returns how many rows.
func (b *bench) commitTo(ctx context.Context, dsns ...string) (int64, error) {
	lot := b.changes.Next(0.001)
	for _, dsn := range dsns {
		if err := connected(ctx, dsn, func(conn *pgx.Conn) error { return lot.Commit(ctx, conn) }); err != nil {
			return 0, err
		}
	}
	return int64(len(lot.Rows)), nil
}

// installPeer installs RelStorage where it isn't yet.
func (b *bench) installPeer(ctx context.Context) (*peer, error) {
	env, err := pyenv.Install(ctx, os.Stderr, b.peer, pyenv.RelStorage...)
	if err != nil {
		return nil, err
	}
	versions, err := env.Versions(ctx, "RelStorage", "ZODB")
	if err != nil {
		return nil, err
	}
	b.Settings += "; " + versions
	work, err := os.MkdirTemp("", "relpack-peer-")
	if err != nil {
		return nil, err
	}
	p := &peer{python: env.Program("python"), zodbpack: env.Program("zodbpack")}
	p.config, p.script = filepath.Join(work, "zodbpack.conf"), filepath.Join(work, "peer.py")
	return p, os.WriteFile(p.script, peerScript, 0o644)
}

func (p *peer) configure(dsn string) error {
	p.dsn = dsn
	text := fmt.Sprintf(`<relstorage>
  keep-history %t
  <postgresql>
    driver psycopg2
    dsn %s
  </postgresql>
</relstorage>
`, p.history, strings.ReplaceAll(dsn, "$", "$$"))
	// The storage's own element for zodbpack, which peer.py reads too.
	return os.WriteFile(p.config, []byte("%import relstorage\n"+text), 0o644)
}

// on is the same installation for another database.
func (p *peer) on(dsn string) (*peer, error) {
	q := *p
	q.config = filepath.Join(filepath.Dir(p.config), "other.conf")
	return &q, q.configure(dsn)
}

// pack runs zodbpack; it returns seconds and the process's memory.
func (p *peer) pack(ctx context.Context, args ...string) (seconds float64, memory int64, err error) {
	ran, err := runProgram(ctx, p.zodbpack, append(append([]string{"--days", "-1"}, args...), p.config)...)
	return ran.seconds, ran.memory, err
}

// fillPeer lets RelStorage create its tables, fills them, and lets ZODB load
// some thousand objects.
func (b *bench) fillPeer(ctx context.Context, p *peer, dsn string) error {
	step("generate")
	if _, err := runProgram(ctx, p.python, p.script, "create", p.config); err != nil {
		return err
	}
	b.plan = zodbgen.NewPlan(b.Objects, b.Seed)
	b.Objects = b.plan.Objects
	b.changes = b.plan.Changes()
	b.garbage, _ = b.plan.GarbageCount()
	if err := connected(ctx, dsn, func(conn *pgx.Conn) error { return b.plan.Fill(ctx, conn) }); err != nil {
		return err
	}
	step("check")
	ran, err := runProgram(ctx, p.python, p.script, "check", p.config, "5000")
	if err != nil {
		return fmt.Errorf("load the generated objects through ZODB: %w", err)
	}
	b.add(figure{Name: "loaded through ZODB", Value: number(ran.printed), Unit: "objects", Note: "evenly over all, every BTree among them checked"})
	return nil
}

// step says what is going on.
func step(what string) { fmt.Fprintf(os.Stderr, "%s: %s\n", time.Now().Format(time.TimeOnly), what) }

func number(text []byte) (n float64) {
	_, _ = fmt.Sscan(strings.TrimSpace(string(text)), &n)
	return n
}

// copyDatabase copies files: by way of the WAL, which is the default since
// PostgreSQL 15, what is measured next would wait for that to be written.
func (b *bench) copyDatabase(ctx context.Context, from, to string) error {
	return connected(ctx, b.maintenance, func(conn *pgx.Conn) error {
		var strategy string
		if err := conn.QueryRow(ctx, `SELECT CASE WHEN current_setting('server_version_num')::int >= 150000
			THEN 'STRATEGY file_copy' ELSE '' END`).Scan(&strategy); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s %s", to, from, strategy))
		return err
	})
}

// onCopy does something with a copy of the database.
func (b *bench) onCopy(ctx context.Context, do func(dsn string) error) error {
	return b.onCopyOf(ctx, b.database, do)
}

// onCopyOf does something with a copy of another database.
func (b *bench) onCopyOf(ctx context.Context, template string, do func(dsn string) error) error {
	name := b.database + "_again"
	if err := b.copyDatabase(ctx, template, name); err != nil {
		return err
	}
	return errors.Join(do(strings.Replace(b.dsn, b.database, name, 1)), b.dropDatabase(context.WithoutCancel(ctx), name))
}

func (b *bench) dropDatabase(ctx context.Context, name string) error {
	return connected(ctx, b.maintenance, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
		return err
	})
}
