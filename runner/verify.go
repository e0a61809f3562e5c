package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/figures"
	"relpack/runner/progress"
	"relpack/runner/record"
	"relpack/runner/target"
)

// VerifyOptions say how to verify.
type VerifyOptions struct {
	Repair     bool   // mend what is found
	Version    string // relpack's own, for the report
	Migrations fs.FS  // what the schema must be
	Progress   progress.Meter

	rangeBlocks int64 // read in one transaction; 0: as many as a first build. Tests want several ranges.
	maxEvents   int64 // 0: the constant. Tests want few.
}

// maxRewrites is how often a comparison begins again because object_state was
// rewritten (VACUUM FULL, CLUSTER) while it was read.
const maxRewrites = 3

// verifyNodes is how many nodes are looked up in one transaction.
const verifyNodes = 50_000

// maxEvents is how many reported writes may wait for the next pack: for each
// thing that differs, verify has to look whether it is one of them.
const maxEvents = 1_000_000

// verification is one run of relpack verify on one storage.
type verification struct {
	*pack
	repair      bool
	rangeBlocks int64
	maxEvents   int64
	lockTimeout string // for object_state; "": none
	report      *VerifyReport
	findings    *findingSet // of the pass at work
	dir         *blobFiles  // nil where it isn't known
	filesFound  int64       // of live blobs, by the pass at work
}

// Verify compares all that the graph says with what is stored, believed or not:
// every object's tid, its class and its references as decoded again, and the
// graph with itself. It changes nothing unless it is to repair. Objects that
// the site changes in the meantime are left aside: the next pack looks at them. When
// something is off, or still off after a repair, the error carries
// ExitRefused. The report is never nil.
func Verify(ctx context.Context, t target.Target, o VerifyOptions, log *slog.Logger) (*VerifyReport, error) {
	v := &verification{
		pack: &pack{target: t, log: log, progress: o.Progress, report: &Report{},
			options: PackOptions{Migrations: o.Migrations}},
		repair: o.Repair, rangeBlocks: o.rangeBlocks, maxEvents: o.maxEvents,
		report: &VerifyReport{Storage: t.Name, Repair: o.Repair, Version: o.Version, Started: time.Now(),
			Findings: []Finding{}, Mended: []Finding{}, Phases: []figures.Phase{}},
	}
	if v.progress == nil {
		v.progress = progress.Silent{}
	}
	if v.maxEvents == 0 {
		v.maxEvents = maxEvents
	}
	err := fault.Explain(v.all(ctx))
	if err != nil && (ctx.Err() != nil || fault.ExitCode(err) == fault.ExitInterrupted) {
		err = fault.Interrupted
		if !v.repair {
			err = errVerifyInterrupted
		}
	}
	v.report.finish(v.pack, err)
	return v.report, err
}

// What a repair did stays done.
var errVerifyInterrupted = &fault.Error{Code: fault.ExitInterrupted, Err: errors.New("interrupted"),
	Hint: "Nothing was changed; the next verification starts over"}

func (v *verification) all(ctx context.Context) error {
	if err := v.target.Packable(); err != nil {
		return err
	}
	dir, err := v.openBlobDir()
	if err != nil {
		return err
	}
	if v.dir = dir; dir != nil {
		defer func() { _ = dir.Close() }()
	}
	return v.locked(ctx, "verify", func() error {
		var graph string
		if err := v.conn.QueryRow(ctx, "SELECT coalesce((SELECT graph FROM relpack.storage), 'none')").Scan(&graph); err != nil {
			return fmt.Errorf("read relpack.storage: %w", err)
		}
		if graph == "reshaping" {
			return fault.Refuse(`Run "relpack pack --dry-run"`, "a pack was interrupted while it chose new parents for all objects: there is nothing to verify")
		}
		if graph != "current" && graph != "doubtful" {
			return fault.Refuse(`Run "relpack pack"`, "the graph is not built yet: there is nothing to verify")
		}
		if err := v.fewEvents(ctx); err != nil {
			return err
		}
		var began time.Time
		if err := v.conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&began); err != nil {
			return fmt.Errorf("ask for the time: %w", err)
		}
		found, err := v.pass(ctx, v.repair)
		if err != nil {
			return err
		}
		v.report.Findings = found
		if !v.repair || !toMend(found) {
			if err := v.whole(ctx, began, found); err != nil {
				return err
			}
			return off(found, `"relpack verify --repair" mends it`)
		}
		if err := v.mend(ctx); err != nil {
			return err
		}
		v.report.Mended = slices.DeleteFunc(found, func(f Finding) bool { return f.Severity == "damage" })
		v.report.Findings = []Finding{}
		if found, err = v.pass(ctx, false); err != nil {
			return err
		}
		v.report.Findings = found
		if err := v.whole(ctx, began, found); err != nil {
			return err
		}
		return off(found, `"relpack pack --init" builds the graph again`)
	})
}

// whole notes that the graph is right everywhere, if it is.
func (v *verification) whole(ctx context.Context, began time.Time, found []Finding) error {
	if slices.ContainsFunc(found, func(f Finding) bool { return f.Severity == "error" }) {
		return nil
	}
	if _, err := v.conn.Exec(ctx, "SELECT relpack.audit_whole($1)", began); err != nil {
		return fmt.Errorf("note that everything is verified: %w", err)
	}
	return nil
}

// fewEvents refuses a storage of which so much was written again that a pack has
// to come first.
func (v *verification) fewEvents(ctx context.Context) error {
	var many bool
	if err := v.conn.QueryRow(ctx, "SELECT count(*) > $1 FROM (SELECT FROM relpack.write_event LIMIT $1 + 1) AS few", v.maxEvents).Scan(&many); err != nil {
		return fmt.Errorf("read relpack.write_event: %w", err)
	}
	if many {
		return fault.Refuse(`Run "relpack pack --dry-run" first`, "more than %d restored or deleted objects wait for the next pack", v.maxEvents)
	}
	return nil
}

// pass compares everything once. With mark, objects that differ go to
// relpack.pending, as if they had been written.
func (v *verification) pass(ctx context.Context, mark bool) ([]Finding, error) {
	if err := v.phase("states", func() error { return v.allStates(ctx, mark) }); err != nil {
		return nil, err
	}
	if err := v.phase("nodes", func() error { return v.nodes(ctx) }); err != nil {
		return nil, err
	}
	if err := v.phase("graph", func() error { return v.graph(ctx) }); err != nil {
		return nil, err
	}
	if err := v.phase("blobs", func() error { return v.blobs(ctx) }); err != nil {
		return nil, err
	}
	return v.inWords(ctx)
}

// allStates reads every state, from the start again where rows were moved
// in the meantime, and begins the list of findings.
func (v *verification) allStates(ctx context.Context, mark bool) error {
	for rewrites := 0; ; rewrites++ {
		v.findings = &findingSet{mark: mark, packer: v.packer, byKind: map[string]*Finding{}}
		err := v.states(ctx)
		if !errors.Is(err, errRewritten) || rewrites >= maxRewrites {
			return err
		}
		v.log.Warn("object_state was rewritten while it was read (VACUUM FULL, CLUSTER): it is read again")
	}
}

// nodes finds those whose object is not stored, and dangling references.
func (v *verification) nodes(ctx context.Context) error {
	for after := int64(-1); ; {
		var last, dangling *int64
		var missing, danglingZoids []int64
		if err := v.looking(ctx, func() error {
			return v.conn.QueryRow(ctx, "SELECT last, missing, dangling, dangling_zoids FROM relpack.verify_nodes($1, $2)", after, verifyNodes).
				Scan(&last, &missing, &dangling, &danglingZoids)
		}); err != nil {
			return fmt.Errorf("look the nodes of the graph up in the storage: %w", err)
		}
		v.findings.add("other_than_stored", int64(len(missing)), missing)
		if dangling != nil {
			v.findings.add("dangling", *dangling, danglingZoids)
		}
		if err := v.findings.pend(ctx, v.conn, missing); err != nil {
			return err
		}
		if last == nil {
			return v.missing(ctx, dangling != nil)
		}
		after = *last
	}
}

// missing finds what the graph knows to have vanished, once it is settled
// whether a live object refers to it.
func (v *verification) missing(ctx context.Context, settled bool) error {
	var damage Damage
	if err := damage.read(ctx, v.conn); err != nil || !settled {
		return err
	}
	var zoids []int64
	for _, lost := range damage.Missing {
		zoids = append(zoids, lost.Zoid)
	}
	v.findings.add("missing", damage.MissingCount, zoids)
	return nil
}

// graph checks the graph against itself, and what protects it.
func (v *verification) graph(ctx context.Context) error {
	rows, err := v.conn.Query(ctx, "SELECT kind, objects, zoids FROM relpack.verify_graph()")
	if err != nil {
		return fmt.Errorf("check the graph: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var kind string
		var objects int64
		var zoids []int64
		if err := rows.Scan(&kind, &objects, &zoids); err != nil {
			return fmt.Errorf("check the graph: %w", err)
		}
		v.findings.add(kind, objects, zoids)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("check the graph: %w", err)
	}
	if err := v.conn.QueryRow(ctx, "SELECT objects, inrefs FROM relpack.storage").
		Scan(&v.report.Objects, &v.report.References); err != nil {
		return fmt.Errorf("read relpack.storage: %w", err)
	}
	return v.looking(ctx, func() error {
		doubt, err := v.doubt(ctx)
		if doubt != "" {
			v.findings.add("doubt", 0, nil)
		}
		return err
	})
}

// looking looks at object_state in a transaction that has waited for it before:
// the snapshot of a statement that waits for a TRUNCATE is older than that, and
// shows the table empty, without the event that tells why.
func (v *verification) looking(ctx context.Context, look func() error) error {
	return pgx.BeginFunc(ctx, v.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, v.lockStorage()); err != nil {
			return err
		}
		return look()
	})
}

// lockStorage waits for object_state, for a while.
func (v *verification) lockStorage() string {
	if v.lockTimeout == "" {
		return record.LockStorage
	}
	return "SET LOCAL lock_timeout = '" + v.lockTimeout + "'; " + record.LockStorage
}

// mend brings the graph up to what is stored, where it differed too, and makes
// its tree one again.
func (v *verification) mend(ctx context.Context) error {
	// A walk that a crash interrupted comes first, as in a pack.
	if err := v.phase("reach", func() error { return v.reach(ctx) }); err != nil {
		return err
	}
	if err := v.update(ctx); err != nil {
		return err
	}
	if err := v.phase("mend", func() error {
		_, err := v.conn.Exec(ctx, "SELECT relpack.verify_mend()")
		return err
	}); err != nil {
		return fmt.Errorf("mend the graph: %w", err)
	}
	return v.phase("reach", func() error { return v.reach(ctx) })
}
