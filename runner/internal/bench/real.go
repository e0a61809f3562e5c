package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
)

// onReal measures relpack and zodbpack on a site that RelStorage wrote, or relpack
// alone in many rounds of changes and packs.
func onReal(ctx context.Context, args []string) error {
	rounds := 0
	return onSites(ctx, "bench real", args, func(f *flag.FlagSet) {
		f.IntVar(&rounds, "rounds", 0, "let the site change and pack it so many `times`, without zodbpack")
	}, func(b *bench, cache string) error {
		return b.onRealSite(ctx, &realSite{cache: cache}, func(s *realSite) error {
			if rounds > 0 {
				return s.rounds(ctx, rounds)
			}
			return s.compare(ctx)
		})
	})
}

// onSites measures something on sites that RelStorage wrote. What was made is kept in a
// directory for the next run.
func onSites(ctx context.Context, name string, args []string, flags func(*flag.FlagSet), measure func(b *bench, cache string) error) error {
	cache := ""
	return onServer(ctx, name, args, func(f *flag.FlagSet, o *options) {
		flags(f)
		f.StringVar(&o.peer, "peer", ".cache/peer", "RelStorage is installed into this `directory` if it isn't there")
		f.StringVar(&cache, "cache", ".cache/real", "the `directory` in which sites are kept, and what was measured on them")
	}, func(b *bench) error { return measure(b, cache) })
}

// onRealSite does something with a site, in zodbpack's database and in a copy that
// is relpack's.
func (b *bench) onRealSite(ctx context.Context, site *realSite, do func(*realSite) error) (err error) {
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
	if site.history {
		name = fmt.Sprintf("relpack_history_%d", os.Getpid())
	}
	theirs, drop, err := b.newDatabase(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	p.history = site.history
	if err := p.configure(theirs); err != nil {
		return err
	}
	site.bench, site.peer, site.scripts, site.blobs = b, p, work, filepath.Join(work, "blobs")
	if err := site.fill(ctx); err != nil {
		return err
	}
	copied := name + "_copy"
	if err := b.copyDatabase(ctx, name, copied); err != nil {
		return err
	}
	b.database, b.dsn = copied, strings.Replace(theirs, name, copied, 1)
	defer func() { err = errors.Join(err, b.dropDatabase(context.WithoutCancel(ctx), copied)) }()
	return do(site)
}

// compare measures packs of relpack beside those of zodbpack and beside bare
// statements, then relpack after other kinds of change.
func (s *realSite) compare(ctx context.Context) error {
	if err := s.floorOfCopy(ctx); err != nil {
		return err
	}
	sparse, err := s.sparse(ctx)
	if err != nil {
		return err
	}
	first, err := s.firstOfBoth(ctx, s.peer)
	if err != nil {
		return err
	}
	if err := s.floorOfCopy(ctx); err != nil {
		return err
	}
	s.addFirst(first)
	if err := s.addSparse(sparse, first); err != nil {
		return err
	}
	if err := s.depth(ctx, "the first pack"); err != nil {
		return err
	}
	bareDeletion, err := s.bare(ctx, first)
	if err != nil {
		return err
	}
	deletion, err := s.deletionOfBoth(ctx, s.peer)
	if err != nil {
		return err
	}
	s.addDeletion(deletion, bareDeletion)
	s.changeBoth = s.change
	if err := s.secondOfBoth(ctx, s.peer, 100, 500); err != nil {
		return err
	}
	s.require(afterEdits, 0.5)
	if err := s.depth(ctx, "the changes"); err != nil {
		return err
	}
	if err := s.kinds(ctx); err != nil {
		return err
	}
	return s.scale()
}

func (s *realSite) floorOfCopy(ctx context.Context) error {
	step("floor")
	return connected(ctx, s.bench.dsn, func(conn *pgx.Conn) error { s.conn = conn; return s.floor(ctx) })
}

func (b *bench) addFirst(first *packed) {
	b.add(figure{Name: firstPack, Value: first.Seconds, Unit: "s", Note: "to the list of garbage; " + first.phases()})
	b.add(figure{Name: "first pack / floor", Value: ratio(first.Seconds, b.value("floor")), Unit: "x", Must: 5})
}

// toGraph is how long a first pack took up to the graph, without what follows from it.
func (p *packed) toGraph() (seconds float64) {
	for _, name := range buildPhases {
		seconds += p.phase(name)
	}
	return seconds
}

func (b *bench) addDeletion(ours *packed, bare float64) {
	sweep := ours.phase("sweep")
	b.add(figure{Name: "deletion, rate", Value: ratio(float64(ours.Deleted.Objects), sweep), Unit: "objects/s", Must: 60_000, Higher: true,
		Note: "the graph included, with RelStorage's foreign key and trigger on blob_chunk; " + ours.phases()})
	b.add(figure{Name: "deletion / bare DELETE", Value: ratio(sweep, bare), Unit: "x"})
}

// ratio of what may not have been measured; 0 says so.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
