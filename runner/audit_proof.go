package runner

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"relpack/runner/record"
	"relpack/runner/session"
)

// What is proved the slow way before the first object of a run goes.
const (
	proofDoomed = 100      // of what is chosen for deletion
	proofKept   = 1_000    // of what these refer to and what is to stay
	proofBytes  = 16 << 20 // of states, of either
)

// prover reads and decodes states apart from the graph.
type prover struct {
	*verification
	record.Decoder
	beside *pgx.Conn // for a class that nobody has met; nil: not needed yet
	chunk  stateChunk
}

// prove reads some of what is chosen for deletion again, and what of the rest
// these refer to, which is what would hold them if they were alive: containers,
// catalogs, parents. It must be what the graph says, and nothing that stays
// may refer to what is to go.
func (p *pack) prove(ctx context.Context) error {
	if p.report.Chosen.Objects == 0 || p.stopped() {
		return nil
	}
	v := p.verification()
	if err := p.phase("prove", func() error { return v.sample(ctx) }); err != nil {
		return err
	}
	return p.stopAtDifference(ctx, v)
}

func (v *verification) sample(ctx context.Context) error {
	classes, err := record.NewClasses(ctx, v.conn)
	if err != nil {
		return err
	}
	x := &prover{verification: v, Decoder: record.NewDecoder(classes)}
	classes.Open = func(ctx context.Context) (_ *pgx.Conn, err error) {
		if x.beside == nil {
			x.beside, err = x.session(ctx, "prove")
		}
		return x.beside, err
	}
	defer func() {
		if x.beside != nil {
			session.Close(x.beside)
		}
	}()
	v.lockTimeout = auditLockTimeout
	if err := v.persist(ctx, "prove a sample of what is chosen for deletion", func() (bool, error) {
		x.chunk.reset()
		err := v.looking(ctx, func() error { return x.read(ctx) })
		return err == nil, err
	}); err != nil {
		return err
	}
	if err := v.compareChunk(ctx, v.conn, &x.chunk); err != nil {
		return err
	}
	return x.judge(ctx)
}

// read reads the sample, and what it refers to.
func (x *prover) read(ctx context.Context) error {
	var zoids []int64
	var collected int64
	if err := x.conn.QueryRow(ctx, "SELECT relpack.audit_sample($1, $2), listed_tid FROM relpack.storage", proofDoomed, proofBytes).
		Scan(&zoids, &collected); err != nil {
		return err
	}
	if err := x.copy(ctx, zoids, collected); err != nil {
		return err
	}
	if err := x.conn.QueryRow(ctx, "SELECT relpack.audit_kept($1, $2, $3)", x.chunk.refs, proofKept, proofBytes).Scan(&zoids); err != nil {
		return err
	}
	return x.copy(ctx, zoids, collected)
}

func (x *prover) copy(ctx context.Context, zoids []int64, collected int64) error {
	if len(zoids) == 0 {
		return nil
	}
	list := strings.ReplaceAll(strings.Trim(fmt.Sprint(zoids), "[]"), " ", ",")
	return record.CopyStored(ctx, x.conn, "zoid = ANY ('{"+list+"}')", collected, func(rec record.Row) error {
		found, err := x.Decode(ctx, rec.State)
		if err != nil {
			return fmt.Errorf("zoid %d: %w", rec.Zoid, err)
		}
		x.chunk.add(rec, found)
		return nil
	})
}

// judge asks whether anything that stays refers to what is to go.
func (x *prover) judge(ctx context.Context) error {
	rows, err := x.conn.Query(ctx, "SELECT zoid, inref FROM relpack.audit_proof($1, $2)", x.chunk.refs, x.chunk.inrefs)
	if err != nil {
		return fmt.Errorf("prove a sample of what is chosen for deletion: %w", err)
	}
	var zoid, inref int64
	var both []int64
	last := int64(-1)
	if _, err := pgx.ForEachRow(rows, []any{&zoid, &inref}, func() error {
		if zoid != last {
			x.findings.add("doomed_but_referred_to", 1, []int64{zoid})
		}
		last = zoid
		both = append(both, zoid, inref)
		return nil
	}); err != nil {
		return fmt.Errorf("prove a sample of what is chosen for deletion: %w", err)
	}
	return x.findings.pend(ctx, x.conn, both)
}
