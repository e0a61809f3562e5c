package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/zodbgen"
	"relpack/runner/internal/zodbtest"
)

// onPast measures relpack on a generated history-preserving storage, in which each object
// was written so many times, and refers to the same objects each time.
func onPast(ctx context.Context, args []string) error {
	revisions, bare := 0, true
	return onServer(ctx, "bench past", args, func(f *flag.FlagSet, o *options) {
		f.Float64Var(&o.days, "days", 0, "`so many` days of history that packs keep; 0: none")
		f.IntVar(&revisions, "revisions", 10, "of each object `so many`")
		f.BoolVar(&bare, "bare", true, "measure the deletion by bare statements as well")
	}, func(b *bench) (err error) {
		b.database = fmt.Sprintf("relpack_past_%d", os.Getpid())
		dsn, drop, err := b.newDatabase(ctx, b.database)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, drop()) }()
		b.dsn = dsn
		return b.measurePast(ctx, revisions, bare)
	})
}

// measurePast measures a first pack, one a week later, the same deletions by bare
// statements on a copy, and later packs beside those of a history-free storage.
func (b *bench) measurePast(ctx context.Context, revisions int, bare bool) (err error) {
	step("generate")
	if err := connected(ctx, b.dsn, func(conn *pgx.Conn) error { return b.generatePast(ctx, conn, revisions) }); err != nil {
		return err
	}
	before := b.database + "_before"
	if bare {
		if err := b.copyDatabase(ctx, b.database, before); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, b.dropDatabase(context.WithoutCancel(ctx), before)) }()
	}
	s := &realSite{bench: b, history: true}
	if err := s.addRevisions(ctx, "", b.dsn); err != nil {
		return err
	}
	step("first pack")
	first, err := b.packFirst(ctx, b.dsn, false)
	if err != nil {
		return err
	}
	if b.days == 0 && first.Deleted.Objects != b.garbage {
		return fmt.Errorf("%d objects were deleted, %d were generated as garbage", first.Deleted.Objects, b.garbage)
	}
	b.add(figure{Name: firstPack, Value: first.Seconds, Unit: "s", Note: fmt.Sprintf("%d revisions and %d objects deleted; %s",
		first.Trimmed.Revisions, first.Deleted.Objects, first.phases())})
	b.clientMemory(first)
	b.add(figure{Name: "server memory, one session", Value: float64(first.memory.one), Unit: "B", Must: 256 << 20, Note: "private"})
	d := deletion{}
	d.first(first)
	if err := b.weekLaterHere(ctx, &d); err != nil {
		return err
	}
	if bare {
		if err := s.inTurns(ctx, before, 1, &d); err != nil {
			return err
		}
		b.addDeletions(d)
	}
	if err := b.besideObjects(ctx); err != nil {
		return err
	}
	return b.besideRows(ctx, revisions)
}

// The generated rows become the last revisions: the others are copies of them, each some
// years older, stored in the order of time.
const (
	earlierRevisions = `
INSERT INTO public.object_state (zoid, tid, prev_tid, state_size, state)
SELECT zoid, tid - span * ($2::bigint - $1), CASE WHEN $1::bigint > 1 THEN tid - span * ($2::bigint - $1 + 1) ELSE 0 END, state_size, state
FROM generated.object_state, (SELECT max(tid) - min(tid) + 1 AS span FROM generated.object_state) AS years
ORDER BY tid, zoid`
	whatWasWritten = `
INSERT INTO public.transaction (tid, packed, is_empty, username, description)
SELECT DISTINCT tid, false, false, ''::bytea, ''::bytea FROM public.object_state;
INSERT INTO public.current_object (zoid, tid) SELECT zoid, tid FROM generated.object_state;
DROP SCHEMA generated CASCADE;
SET session_replication_role = DEFAULT`
)

// generatePast fills an empty database.
func (b *bench) generatePast(ctx context.Context, conn *pgx.Conn, revisions int) error {
	b.plan = zodbgen.NewPlan(b.objects, b.seed)
	b.Objects = b.plan.Objects
	b.garbage, _ = b.plan.GarbageCount()
	if _, err := conn.Exec(ctx, "CREATE SCHEMA generated; SET search_path = generated, public"); err != nil {
		return err
	}
	if err := b.plan.Load(ctx, conn); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "SET search_path = public; SET session_replication_role = replica; SET work_mem = '256MB'"); err != nil {
		return err
	}
	if err := zodbtest.CreateHistory(ctx, conn, zodbtest.V42); err != nil {
		return err
	}
	for revision := 1; revision <= revisions; revision++ {
		if _, err := conn.Exec(ctx, earlierRevisions, revision, revisions); err != nil {
			return fmt.Errorf("write revision %d of each object: %w", revision, err)
		}
	}
	if _, err := conn.Exec(ctx, whatWasWritten); err != nil {
		return fmt.Errorf("write the transactions: %w", err)
	}
	_, err := conn.Exec(ctx, "VACUUM (ANALYZE)")
	return err
}
