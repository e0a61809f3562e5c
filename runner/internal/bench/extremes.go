package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/zodbtest"
)

// extremes measures relpack on graphs of extreme shapes, each at two sizes. A
// plain tree comes first: what the others cost an object, or a reference where
// there are many, is compared with what it costs.
func extremes(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("bench extremes", flag.ContinueOnError)
	o := options{}
	f.Int64Var(&o.objects, "objects", 1_000_000, "`number` of objects in the large graphs")
	f.StringVar(&o.relpack, "relpack", "bin/relpack", "the `program` to measure")
	f.StringVar(&o.json, "json", "", "write the figures to this `file`")
	only := f.String("only", "", "measure these `shapes` only, separated by commas, beside the tree: "+strings.Join(shapeNames(), ", ")+", churn")
	if err := f.Parse(args); err != nil {
		return err
	}
	b := &bench{options: o, results: newResults(o)}
	stop, err := b.server(ctx)
	if err != nil {
		return err
	}
	x := &extreme{bench: b, times: map[string]measured{}}
	wanted := func(name string) bool { return *only == "" || slices.Contains(strings.Split(*only, ","), name) }
	for _, s := range shapes {
		if s.name != "tree" && !wanted(s.name) {
			continue
		}
		for _, x.scale = range []int64{10, 1} {
			if err = x.run(ctx, s); err != nil {
				return errors.Join(err, stop())
			}
		}
	}
	if wanted("churn") {
		if err = b.churn(ctx, max(b.Objects/10, 1000)); err != nil {
			return errors.Join(err, stop())
		}
	}
	fmt.Println()
	err = b.write(os.Stdout)
	if o.json != "" && err == nil {
		err = b.save(o.json)
	}
	return errors.Join(err, stop())
}

// extreme is a run of one shape at one size.
type extreme struct {
	*bench
	shape
	n     int64 // objects
	scale int64 // 1, or 10 for a tenth of the size
	times map[string]measured
}

// measured is one step: how long it took for each of the objects concerned.
type measured struct {
	each           float64 // microseconds
	client, server int64   // bytes
}

// run makes a database for the shape and takes the steps.
func (x *extreme) run(ctx context.Context, s shape) error {
	x.shape, x.n = s, max(s.objects(x.Objects)/x.scale, 1000)
	fmt.Fprintf(os.Stderr, "%s of %d\n", s.name, x.n)
	dsn, drop, err := x.newDatabase(ctx, "relpack_extreme")
	if err != nil {
		return err
	}
	x.dsn = dsn
	err = connected(ctx, dsn, func(conn *pgx.Conn) error {
		x.conn = conn
		if err := x.load(ctx); err != nil {
			return err
		}
		if _, err := x.program(ctx, "migrate", "up", "--dsn", dsn, "--quiet"); err != nil {
			return err
		}
		if err := x.find(ctx, "first build", x.units(), 0); err != nil {
			return err
		}
		return s.steps(ctx, x)
	})
	if err != nil {
		err = fmt.Errorf("%s of %d: %w", s.name, x.n, err)
	}
	return errors.Join(err, drop())
}

// units are what the first build is counted by.
func (x *extreme) units() int64 {
	if x.perReference > 0 {
		return x.n * x.perReference
	}
	return x.n
}

func (x *extreme) load(ctx context.Context) error {
	if err := zodbtest.CreateStorage(ctx, x.conn, zodbtest.V42); err != nil {
		return err
	}
	var zoid int64
	_, err := x.conn.CopyFrom(ctx, pgx.Identifier{"object_state"}, []string{"zoid", "tid", "state_size", "state"},
		pgx.CopyFromFunc(func() ([]any, error) {
			if zoid == x.n {
				return nil, nil
			}
			state := stateOf(x.refs(x.n, zoid))
			zoid++
			return []any{zoid - 1, firstTid + zoid, len(state), state}, nil
		}))
	if err != nil {
		return err
	}
	_, err = x.conn.Exec(ctx, "VACUUM ANALYZE object_state")
	return errors.Join(err, x.checkpoint(ctx))
}

// firstTid is some day of 2025.
const firstTid = 287_000_000_000_000_000

// stateOf is the record of a persistent list of persistent lists.
func stateOf(refs []int64) []byte {
	var b bytes.Buffer
	b.WriteString("\x80\x03cpersistent.list\nPersistentList\nq\x01.\x80\x03](")
	for _, ref := range refs {
		b.WriteString("C\x08")
		b.Write(zodbtest.Oid(ref))
		b.WriteString("h\x01\x86Q")
	}
	b.WriteString("e.")
	return b.Bytes()
}

// commit stores objects with these references.
func (x *extreme) commit(ctx context.Context, refs map[int64][]int64) error {
	states := map[int64][]byte{}
	for zoid := range refs {
		states[zoid] = stateOf(refs[zoid])
	}
	if _, err := zodbtest.CommitNow(ctx, x.conn, states); err != nil {
		return err
	}
	return x.checkpoint(ctx)
}

// find packs without deleting, and expects so many unreachable objects; count
// are the objects concerned, 0 for a step that is reported as a whole.
func (x *extreme) find(ctx context.Context, step string, count, unreachable int64) error {
	p, err := x.pack(ctx, x.dsn, "--dry-run")
	if err != nil {
		return err
	}
	if p.Unreachable.Objects != unreachable {
		return fmt.Errorf("%s: %d objects are unreachable for relpack, it should be %d", step, p.Unreachable.Objects, unreachable)
	}
	x.note(step, p, p.Seconds, count)
	return nil
}

// remove deletes what was found.
func (x *extreme) remove(ctx context.Context, count int64) error {
	p, err := x.pack(ctx, x.dsn)
	if err != nil {
		return err
	}
	if p.Deleted.Objects != count {
		return fmt.Errorf("%d objects were deleted, it should be %d", p.Deleted.Objects, count)
	}
	x.note("deletion", p, p.phase("sweep"), count*max(x.perReference, 1))
	return nil
}

// note keeps what a step took, and of the full size makes a figure.
func (x *extreme) note(step string, p *packed, seconds float64, count int64) {
	m := measured{each: seconds * 1e6 / float64(max(count, 1)), client: p.client, server: p.memory.one}
	key := func(shape string, scale int64) string { return fmt.Sprint(shape, ": ", step, "/", scale) }
	x.times[key(x.name, x.scale)] = m
	if x.scale != 1 {
		return
	}
	// A small tree costs more an object than a large one.
	treeScale := int64(1)
	if x.n == x.Objects/10 {
		treeScale = 10
	}
	tenth, tree := x.times[key(x.name, 10)], x.times[key("tree", treeScale)]
	f := figure{Name: fmt.Sprintf("%s of %d: %s", x.name, x.n, step), Value: m.each, Unit: "µs", Must: 3 * tree.each,
		Note: fmt.Sprintf("each of %d; %.3g s; client %s, server %s; at a tenth %.3g µs, %s, %s", count, seconds,
			quantity(float64(m.client), "B"), quantity(float64(m.server), "B"), tenth.each,
			quantity(float64(tenth.client), "B"), quantity(float64(tenth.server), "B"))}
	if count == 0 {
		f.Value, f.Unit, f.Must = seconds, "s", x.seconds[step]
		f.Note = fmt.Sprintf("at a tenth %.3g s; client %s, server %s", tenth.each/1e6,
			quantity(float64(m.client), "B"), quantity(float64(m.server), "B"))
	}
	x.add(f)
}
