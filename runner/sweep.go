package runner

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
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
	return p.phase("choose", func() error {
		if err := p.setPackTime(ctx); err != nil {
			return err
		}
		r := p.report
		var ahead *string
		if err := p.conn.QueryRow(ctx, "SELECT objects, inrefs, unreachable, unreachable_bytes, ahead FROM relpack.survey()").
			Scan(&r.Objects, &r.References, &r.Unreachable.Objects, &r.Unreachable.Bytes, &ahead); err != nil {
			return fmt.Errorf("count the unreachable: %w", err)
		}
		if ahead != nil {
			r.Ahead = *ahead
		}
		if err := r.Damage.read(ctx, p.conn); err != nil {
			return err
		}
		if missing, _ := r.Damage.lines(); missing != "" {
			p.log.Warn(missing)
		}
		var err error
		if r.Problems, err = session.Rows(ctx, p.conn, pgx.RowToStructByPos[Problem],
			"SELECT zoid, kind, detail FROM relpack.problem WHERE "+worthTelling+" ORDER BY blocks DESC, kind = 'empty', zoid LIMIT 10"); err != nil {
			return fmt.Errorf("read relpack.problem: %w", err)
		}
		if r.Unreachable.Objects == 0 {
			r.chosen = true
			return nil
		}
		if r.Unreachable.Objects < fewUnreachable {
			// Workers take longer to start than there is work for them.
			if _, err := p.conn.Exec(ctx, "SET max_parallel_workers_per_gather = 0"); err != nil {
				return fmt.Errorf("choose what to delete: %w", err)
			}
		}
		if err := p.readGraceBegan(ctx); err != nil {
			return err
		}
		if err := p.outlast(ctx); err != nil {
			return err
		}
		if _, err := p.conn.Exec(ctx, "SELECT relpack.doom($1)", p.report.packTime); err != nil {
			return fmt.Errorf("choose what to delete: %w", err)
		}
		if err := p.sawSetAside(ctx); err != nil {
			return err
		}
		if r.ByClass, err = session.Rows(ctx, p.conn, pgx.RowToStructByPos[ClassCount], `
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

// worthTelling are rows of relpack.problem. Garbage without a state is garbage.
const worthTelling = "(kind <> 'empty' OR EXISTS (SELECT FROM relpack.object WHERE object.zoid = problem.zoid AND parent IS NOT NULL))"
const blobClass = "ZODB.blob.Blob"

// setPackTime fixes, by the server's clock, until when an object must have
// been left alone to be deleted.
func (p *pack) setPackTime(ctx context.Context) error {
	if p.options.Days < 0 {
		return p.warnOthers(ctx)
	}
	// No storage is older than 100 years.
	days := min(p.options.Days, 36500)
	if err := p.conn.QueryRow(ctx, "SELECT now() - make_interval(secs => $1::float8 * 86400)", days).
		Scan(&p.report.packTime); err != nil {
		return fmt.Errorf("determine the pack time: %w", err)
	}
	return nil
}

// A first build doesn't know since when its garbage is such: transactions that
// were open while it read may see all of it attached.
const readersPatience = 2 * time.Second

// outlast waits for those to end, for a moment: on a busy site there is always
// one, and hardly ever for long.
func (p *pack) outlast(ctx context.Context) error {
	if !p.report.FirstBuild || p.report.packTime == nil || p.report.GraceBegan != nil {
		return nil
	}
	for start := time.Now(); ; {
		var nothing bool
		if err := p.conn.QueryRow(ctx, "SELECT relpack.grace_cap($1) = 0", p.report.packTime).Scan(&nothing); err != nil {
			return fmt.Errorf("look for open transactions: %w", err)
		}
		if !nothing {
			return nil
		}
		if time.Since(start) > readersPatience {
			var oldest string
			if err := p.conn.QueryRow(ctx, "SELECT coalesce(relpack.oldest_client(), 'none any more')").Scan(&oldest); err != nil {
				return fmt.Errorf("look for open transactions: %w", err)
			}
			p.log.Warn("this pack deletes nothing, the next one does: a transaction that was open during the scan may still use the garbage: " + oldest)
			return nil
		}
		if err := p.sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// sawHolder names who keeps what is beyond the grace: an open transaction.
func (p *pack) sawHolder(ctx context.Context) error {
	r := p.report
	if r.young.Objects == 0 || r.packTime == nil {
		return nil
	}
	var holder *string
	if err := p.conn.QueryRow(ctx, "SELECT relpack.held_by($1)", r.packTime).Scan(&holder); err != nil {
		return fmt.Errorf("look for open transactions: %w", err)
	}
	if holder == nil {
		return nil
	}
	r.HeldBy = *holder
	if !r.FirstBuild { // else it was said
		p.log.Warn(r.heldBy())
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
	err := p.conn.QueryRow(ctx, "SELECT count(*) FROM relpack.other_clients()").Scan(&others)
	if err != nil {
		return fmt.Errorf("look for other clients: %w", err)
	}
	if others > 0 {
		are := "clients are"
		if others == 1 {
			are = "client is"
		}
		p.log.Warn(fmt.Sprintf("%d other %s connected: with a negative --days nothing protects the objects that they hold in memory", others, are))
	}
	return nil
}

// sweep deletes batch after batch.
func (p *pack) sweep(ctx context.Context) error {
	if p.report.Chosen.Objects == 0 {
		return p.unreferred(ctx)
	}
	p.progress.Phase("delete", "objects", p.report.Chosen.Objects)
	defer p.progress.End()
	batch, longest := firstBatch, p.target.BatchTimeout
	var protocol string
	if err := p.conn.QueryRow(ctx, "SELECT relpack.lock_protocol()").Scan(&protocol); err != nil {
		return fmt.Errorf("look at RelStorage's locks: %w", err)
	}
	if protocol == "table" {
		batch, longest = firstBatchOfTable, longestOfTable
	}
	stale, decode := 0, false
	for {
		if p.stopped() {
			return fault.Interrupted
		}
		var b batchResult
		start := time.Now()
		err := p.persist(ctx, "delete a batch", func() (bool, error) {
			var err error
			b, err = p.sweepBatch(ctx, batch, decode)
			if err == nil && b.outcome == "busy" {
				batch = max(batch/2, minBatch)
				start = time.Now()
				return false, nil
			}
			return true, err
		})
		if err != nil && p.rewritten(ctx, err) {
			b.outcome, err = "stale", nil
		}
		if err != nil {
			return err
		}
		switch b.outcome {
		case "done":
			return nil
		case "swept":
			stale = 0
			p.report.Deleted.Objects += b.objects
			p.report.Deleted.Bytes += b.bytes
			p.report.Blobs += b.blobs
			p.progress.Add(b.objects)
			batch = nextBatch(batch, time.Since(start), longest)
			if b.remaining == 0 {
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
			if err := p.catchUp(ctx); err != nil {
				return err
			}
		}
	}
}

// unlessRewritten does a step that needs a graph that is believed, once more if
// object_state was rewritten in the meantime.
func (p *pack) unlessRewritten(ctx context.Context, step func() error) error {
	for tries := 0; ; tries++ {
		err := step()
		if err == nil || tries == maxRewrites || !p.rewritten(ctx, err) {
			return err
		}
		if err := p.catchUp(ctx); err != nil {
			return err
		}
	}
}

// rewritten tells whether a batch was refused for nothing but that object_state
// has other files than before: VACUUM FULL and pg_repack are no reason to end a
// run. What a capture compares then, the next batch believes.
func (p *pack) rewritten(ctx context.Context, err error) bool {
	if !fault.IsState(err, fault.StateRefused) {
		return false
	}
	doubt, err := p.doubt(ctx)
	return err == nil && doubt == "object_state was rewritten"
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
	changed := p.counts.scanned.Load() + p.report.Deleted.Objects
	var tables *string
	err := p.conn.QueryRow(ctx, "SELECT relpack.to_vacuum($1)", changed).Scan(&tables)
	if err == nil && tables != nil {
		_, err = p.conn.Exec(ctx, "VACUUM (ANALYZE) "+*tables)
	}
	if err != nil {
		return fmt.Errorf("vacuum relpack's tables: %w", err)
	}
	return nil
}
