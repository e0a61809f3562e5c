package main

import (
	"context"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/zodbtest"
)

// tell is the demo itself.
func (s *site) tell(ctx context.Context) error {
	for _, chapter := range []func(context.Context) error{
		s.install, s.rehearse, s.lookAround, s.askWhy, s.firstPack, s.laterPack, s.packMoreBlobs, s.farewell,
	} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *site) install(ctx context.Context) error {
	s.screen.title("A site's configuration, as zodbpack takes it; relpack goes into its database")
	for i, command := range []string{
		"cat site.conf",
		"relpack migrate up site.conf",
		"relpack status site.conf",
	} {
		if i > 0 {
			s.screen.say("")
		}
		if err := s.run(ctx, command); err != nil {
			return err
		}
	}
	return nil
}

func (s *site) rehearse(ctx context.Context) error {
	s.screen.title("What would go? The sample is young, hence --days -1: up to the last commit")
	return s.pack(ctx, zodbtest.Small, "relpack pack --dry-run --days -1 site.conf", true)
}

// A statement of the looks, and the thought that goes before it.
var looks = []struct{ thought, statement string }{
	{"What is the garbage made of?",
		"SELECT * FROM relpack.garbage_by_class LIMIT 5;"},
	{"Why is object 4648 alive?",
		"SELECT * FROM relpack.path_to_root(4648);"},
	{"Object 1978 is garbage though others refer to it: these can't be reached either.",
		"SELECT * FROM relpack.referrers(1978);"},
}

func (s *site) lookAround(ctx context.Context) error {
	s.screen.title("The graph is in the database: psql answers questions")
	if s.psql == "" {
		s.screen.say("(There is no psql on this machine: this chapter is left out.)")
		return nil
	}
	for _, look := range looks {
		s.screen.say("-- %s", look.thought)
		if err := s.query(ctx, look.statement); err != nil {
			return err
		}
	}
	return nil
}

func (s *site) askWhy(ctx context.Context) error {
	s.screen.title("Why is object 4648 alive? The same with the names that it has in Python; and what was 1982?")
	return s.run(ctx, "relpack why site.conf 4648 1982")
}

func (s *site) firstPack(ctx context.Context) error {
	s.screen.title("The pack: the graph is built already, nothing is read again")
	return s.pack(ctx, zodbtest.Small, "relpack pack --days -1 site.conf", false)
}

func (s *site) laterPack(ctx context.Context) error {
	s.screen.title("The site goes on: commits change 377 objects and cut some folders off")
	if err := s.connected(ctx, func(conn *pgx.Conn) error {
		return zodbtest.ApplyChanges(ctx, conn, zodbtest.Changes)
	}); err != nil {
		return err
	}
	s.screen.say("A later pack reads what changed since, and no more:\n")
	return s.pack(ctx, zodbtest.Changes, "relpack pack --days -1 site.conf", false)
}

func (s *site) packMoreBlobs(ctx context.Context) error {
	s.screen.title("And on: 400 objects written, blobs among them, folders moved, a cycle born and dropped")
	if err := s.connected(ctx, func(conn *pgx.Conn) error {
		if err := zodbtest.ExtractMoreBlobs(s.blobs()); err != nil {
			return err
		}
		return zodbtest.ApplyChanges(ctx, conn, zodbtest.MoreChanges)
	}); err != nil {
		return err
	}
	return s.pack(ctx, zodbtest.MoreChanges, "relpack pack --days -1 site.conf", false)
}

func (s *site) farewell(ctx context.Context) error {
	s.screen.title("What relpack remembers")
	if err := s.run(ctx, "relpack status site.conf"); err != nil {
		return err
	}
	s.screen.title("Look around yourself")
	s.screen.say(`RELPACK_KEEP=1 make demo    leaves this database running and says how to connect
\dt+ relpack.*              in psql: the tables, each with a comment
\df+ relpack.*              the functions; sql/README.md shows those for you
relpack migrate down        removes relpack from a database without a trace`)
	return nil
}
