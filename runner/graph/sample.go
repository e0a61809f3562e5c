package graph

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"relpack/runner/record"
)

// What is proved the slow way before the first object of a run goes.
const (
	proofDoomed = 100      // of what is chosen for deletion
	proofKept   = 1_000    // of what these refer to and what is to stay
	proofBytes  = 16 << 20 // of states, of either
)

// prover reads and decodes states apart from the graph.
type prover struct {
	*Comparison
	states *record.Reader
	chunk  stateChunk
}

// Sample reads some of what is chosen for deletion again, and what of the rest
// these refer to, which is what would hold them if they were alive: containers,
// catalogs, parents. It must be what the graph says, and nothing that stays
// may refer to what is to go.
func (c *Comparison) Sample(ctx context.Context) error {
	classes, err := record.NewClasses(ctx, c.Conn)
	if err != nil {
		return err
	}
	x := &prover{Comparison: c}
	x.states = record.NewReader(classes, func(_ context.Context, rec record.Row, found record.Decoded) error {
		x.chunk.add(rec, found)
		return nil
	})
	x.states.History = record.History(c.History)
	second := c.Second("prove") // for a class that nobody has met
	classes.Open = second.Get
	defer second.Close()
	if err := c.Retry(ctx, "prove a sample of what is chosen for deletion", func() error {
		x.chunk.reset()
		return c.Looking(ctx, func() error { return x.read(ctx) })
	}); err != nil {
		return err
	}
	if err := c.compareChunk(ctx, c.Conn, &x.chunk); err != nil {
		return err
	}
	return x.judge(ctx)
}

// read reads the sample, and what it refers to.
func (x *prover) read(ctx context.Context) error {
	var zoids []int64
	var listed int64
	if err := x.Conn.QueryRow(ctx, "SELECT relpack.audit_sample($1, $2), listed_tid FROM relpack.storage", proofDoomed, proofBytes).
		Scan(&zoids, &listed); err != nil {
		return err
	}
	if err := x.copy(ctx, zoids, listed); err != nil {
		return err
	}
	if err := x.Conn.QueryRow(ctx, "SELECT relpack.audit_kept($1, $2, $3)", x.chunk.refs, proofKept, proofBytes).Scan(&zoids); err != nil {
		return err
	}
	return x.copy(ctx, zoids, listed)
}

func (x *prover) copy(ctx context.Context, zoids []int64, listed int64) error {
	if len(zoids) == 0 {
		return nil
	}
	list := strings.ReplaceAll(strings.Trim(fmt.Sprint(zoids), "[]"), " ", ",")
	return x.states.Stored(ctx, x.Conn, "zoid = ANY ('{"+list+"}')", listed)
}

// judge asks whether anything that stays refers to what is to go.
func (x *prover) judge(ctx context.Context) error {
	rows, err := x.Conn.Query(ctx, "SELECT zoid, inref FROM relpack.audit_proof($1, $2)", x.chunk.refs, x.chunk.inrefs)
	if err != nil {
		return fmt.Errorf("prove a sample of what is chosen for deletion: %w", err)
	}
	var zoid, inref int64
	var both []int64
	last := int64(-1)
	if _, err := pgx.ForEachRow(rows, []any{&zoid, &inref}, func() error {
		if zoid != last {
			x.Findings.Add("doomed_but_referred_to", 1, []int64{zoid})
		}
		last = zoid
		both = append(both, zoid, inref)
		return nil
	}); err != nil {
		return fmt.Errorf("prove a sample of what is chosen for deletion: %w", err)
	}
	return x.Pend(ctx, x.Conn, both)
}
