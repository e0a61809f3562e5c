package pack

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/graph"
	"relpack/runner/inventory"
	"relpack/runner/session"
	"relpack/runner/target"
)

// A batch is as many objects as take about the target's BatchTimeout, within
// these bounds: rows of a batch are locked while it runs, and all of it is
// rolled back when a writer is in the way.
const (
	firstBatch = 5_000
	minBatch   = 50
	maxBatch   = 20_000
)

// Before 3.0 a RelStorage that commits locks object_state against all who
// write: it waits for a batch to end, and all other commits wait for it.
const (
	firstBatchOfTable = 500
	longestOfTable    = 200 * time.Millisecond
)

// survey counts what is unreachable and chooses what may be deleted.
func (p *pack) survey(ctx context.Context) error {
	return p.Phase("choose", func() error {
		if err := p.setPackTime(ctx); err != nil {
			return err
		}
		r := p.report
		var ahead *string
		if err := p.Conn.QueryRow(ctx, "SELECT objects, inrefs, unreachable, unreachable_bytes, ahead FROM relpack.survey()").
			Scan(&r.Objects, &r.References, &r.Unreachable.Objects, &r.Unreachable.Bytes, &ahead); err != nil {
			return fmt.Errorf("count the unreachable: %w", err)
		}
		if ahead != nil {
			r.Ahead = *ahead
		}
		var err error
		if r.Damage, err = inventory.ReadDamage(ctx, p.Conn); err != nil {
			return err
		}
		if missing, _ := r.Damage.Lines(); missing != "" {
			p.Log.Error(missing) // with --quiet too
		}
		if r.Problems, err = inventory.ReadProblems(ctx, p.Conn, namedProblems); err != nil {
			return err
		}
		if r.Unreachable.Objects == 0 {
			p.sayBlocked()
			r.chosen = true
			return nil
		}
		if r.Unreachable.Objects < fewUnreachable {
			// Workers take longer to start than there is work for them.
			if _, err := p.Conn.Exec(ctx, "SET max_parallel_workers_per_gather = 0"); err != nil {
				return fmt.Errorf("choose what to delete: %w", err)
			}
		}
		if err := p.readGraceBegan(ctx); err != nil {
			return err
		}
		if err := p.outlast(ctx); err != nil {
			return err
		}
		if _, err := p.Conn.Exec(ctx, "SELECT relpack.doom($1)", p.report.PackTime); err != nil {
			return fmt.Errorf("choose what to delete: %w", err)
		}
		if err := p.sawSetAside(ctx); err != nil {
			return err
		}
		if r.ByClass, err = session.Rows(ctx, p.Conn, pgx.RowToStructByPos[inventory.ClassCount], `
			SELECT class.label, chosen.objects, chosen.bytes
			FROM (
			    SELECT class, count(*) AS objects, sum(size)::bigint AS bytes
			    FROM relpack.doomed
			    CROSS JOIN LATERAL (
			        SELECT class, size FROM relpack.object WHERE zoid = doomed.zoid OFFSET 0
			    ) AS object
			    GROUP BY class
			) AS chosen
			JOIN relpack.class ON class.id = chosen.class
			ORDER BY bytes DESC`); err != nil {
			return fmt.Errorf("count the chosen by class: %w", err)
		}
		for _, c := range r.ByClass {
			r.Chosen.Objects += c.Objects
			r.Chosen.Bytes += c.Bytes
			if c.Class == blobClass {
				r.chosenBlobs = c.Objects
			}
		}
		r.ByClass = r.ByClass[:min(len(r.ByClass), 10)]
		r.young = r.Unreachable.Less(r.Chosen).Less(r.HeldBack).Less(r.HangsOn)
		r.chosen = true
		return p.sawHolder(ctx)
	})
}

const fewUnreachable = 50_000

// sayBlocked tells what would keep relpack from deleting, where there is nothing to
// delete that it could refuse.
func (p *pack) sayBlocked() {
	for _, problem := range p.report.Problems {
		if problem.Blocks {
			p.Log.Error(fmt.Sprintf("zoid %d is reachable and can't be decoded: relpack deletes nothing until it can be (%s)", problem.Zoid, problem.Detail))
			return
		}
	}
}

// namedProblems is how many a report has.
const namedProblems = 10

const blobClass = "ZODB.blob.Blob"

// setPackTime fixes the pack time, or tells what it means to have none.
func (p *pack) setPackTime(ctx context.Context) (err error) {
	if p.report.PackTime, err = p.PackTime(ctx, p.options.Days); err != nil || p.report.PackTime != nil {
		return err
	}
	return p.warnOthers(ctx)
}

// A first build doesn't know since when its garbage is such: transactions that
// were open while it read may see all of it attached.
const readersPatience = 2 * time.Second

// outlast waits for those to end, for a moment: on a busy site there is always
// one, and hardly ever for long.
func (p *pack) outlast(ctx context.Context) error {
	if !p.report.FirstBuild || p.report.PackTime == nil || p.report.GraceBegan != nil {
		return nil
	}
	for start := time.Now(); ; {
		var nothing bool
		if err := p.Conn.QueryRow(ctx, "SELECT relpack.grace_cap($1) = 0", p.report.PackTime).Scan(&nothing); err != nil {
			return fmt.Errorf("look for open transactions: %w", err)
		}
		if !nothing {
			return nil
		}
		if time.Since(start) > readersPatience {
			var oldest string
			if err := p.Conn.QueryRow(ctx, "SELECT coalesce(relpack.oldest_client(), 'none any more')").Scan(&oldest); err != nil {
				return fmt.Errorf("look for open transactions: %w", err)
			}
			p.Log.Warn("this pack deletes nothing, the next one does: a transaction that was open during the scan may still use the garbage: " + oldest)
			return nil
		}
		if err := p.Sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// sawHolder names who keeps what is beyond the grace: an open transaction.
func (p *pack) sawHolder(ctx context.Context) error {
	r := p.report
	if r.young.Objects == 0 || r.PackTime == nil {
		return nil
	}
	var holder *string
	if err := p.Conn.QueryRow(ctx, "SELECT relpack.held_by($1)", r.PackTime).Scan(&holder); err != nil {
		return fmt.Errorf("look for open transactions: %w", err)
	}
	if holder == nil {
		return nil
	}
	r.HeldBy = *holder
	if !r.FirstBuild { // else it was said
		p.Log.Warn(r.heldBy())
	}
	return nil
}

// heldBy says for whom something stays; "" for nobody.
func (r *Report) heldBy() string {
	if r.HeldBy == "" {
		return ""
	}
	return fmt.Sprintf("what an open transaction may still see stays until it ends (%s)", r.HeldBy)
}

// warnOthers tells that nothing protects what other clients hold in memory.
func (p *pack) warnOthers(ctx context.Context) error {
	var others int
	err := p.Conn.QueryRow(ctx, "SELECT count(*) FROM relpack.other_clients()").Scan(&others)
	if err != nil {
		return fmt.Errorf("look for other clients: %w", err)
	}
	if others > 0 {
		are := "clients are"
		if others == 1 {
			are = "client is"
		}
		p.Log.Warn(fmt.Sprintf("%d other %s connected: with a negative --days nothing protects the objects that they hold in memory", others, are))
	}
	return nil
}

// sweep deletes batch after batch.
func (p *pack) sweep(ctx context.Context) error {
	if p.report.Chosen.Objects == 0 {
		return p.unreferred(ctx)
	}
	p.Progress.Phase("delete", "objects", p.report.Chosen.Objects)
	defer p.Progress.End()
	batch, longest := firstBatch, p.Target.BatchTimeout
	var protocol string
	if err := p.Conn.QueryRow(ctx, "SELECT relpack.lock_protocol()").Scan(&protocol); err != nil {
		return fmt.Errorf("look at RelStorage's locks: %w", err)
	}
	if protocol == "table" {
		batch, longest = firstBatchOfTable, longestOfTable
	}
	stale, decode := 0, false
	for {
		if p.Stopped() {
			return fault.Interrupted
		}
		var b graph.Batch
		start := time.Now()
		err := p.Persist(ctx, "delete a batch", func() (bool, error) {
			var err error
			b, err = p.SweepBatch(ctx, p.report.PackTime, batch, decode)
			if err == nil && b.Outcome == "busy" {
				batch = max(batch/2, minBatch)
				start = time.Now()
				return false, nil
			}
			return true, err
		})
		if err != nil && p.Rewritten(ctx, err) {
			b.Outcome, err = "stale", nil
		}
		if err != nil {
			return err
		}
		switch b.Outcome {
		case "done":
			return nil
		case "swept":
			stale = 0
			p.report.Deleted.Objects += b.Objects
			p.report.Deleted.Bytes += b.Bytes
			p.report.Blobs += b.Blobs
			p.Progress.Add(b.Objects)
			batch = nextBatch(batch, time.Since(start), longest)
			if b.Remaining == 0 {
				return nil
			}
		case "stale":
			if stale++; stale > maxStale {
				return fmt.Errorf("delete a batch: gave up after %d attempts, in each of which writers may have referred to garbage; the rest is left to the next run", stale)
			}
			if !decode {
				// Something was written: it may be harmless.
				decode = true
				continue
			}
			batch = max(batch/2, minBatch)
			if err := p.CatchUp(ctx); err != nil {
				return err
			}
		}
	}
}

// maxStale is how often in a row a batch may find that the site wrote what may
// refer to garbage.
const maxStale = 100

// nextBatch aims at the wanted duration, without jumps.
func nextBatch(batch int, took, wanted time.Duration) int {
	if wanted <= 0 {
		wanted = target.DefaultBatchTimeout
	}
	switch {
	case took > wanted:
		batch /= 2
	case took < wanted/2:
		batch *= 2
	}
	return min(max(batch, minBatch), maxBatch)
}

// vacuum cleans relpack's own tables; RelStorage's are its DBA's.
func (p *pack) vacuum(ctx context.Context) error {
	changed := p.Scanned.Count().Objects + p.report.Deleted.Objects
	var tables *string
	err := p.Conn.QueryRow(ctx, "SELECT relpack.to_vacuum($1)", changed).Scan(&tables)
	if err == nil && tables != nil {
		_, err = p.Conn.Exec(ctx, "VACUUM (ANALYZE) "+*tables)
	}
	if err != nil {
		return fmt.Errorf("vacuum relpack's tables: %w", err)
	}
	return nil
}
