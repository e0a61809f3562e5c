package pack

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/figures"
	"relpack/runner/inventory"
	"relpack/runner/session"
)

// survey counts what is unreachable and chooses what may be deleted.
func (p *pack) survey(ctx context.Context) error {
	return p.Phase("choose", func() error {
		if err := p.setPackTime(ctx); err != nil {
			return err
		}
		if err := p.look(ctx); err != nil {
			return err
		}
		if p.report.Unreachable.Objects == 0 {
			p.sayBlocked()
			p.report.chosen = true
			return nil
		}
		if err := p.choose(ctx); err != nil {
			return err
		}
		p.report.chosen = true
		return p.sawHolder(ctx)
	})
}

// look counts objects and damage.
func (p *pack) look(ctx context.Context) (err error) {
	r := p.report
	var ahead *string
	if err := p.Conn.QueryRow(ctx, "SELECT objects, inrefs, unreachable, unreachable_bytes, ahead FROM relpack.survey()").
		Scan(&r.Objects, &r.References, &r.Unreachable.Objects, &r.Unreachable.Bytes, &ahead); err != nil {
		return fmt.Errorf("count the unreachable: %w", err)
	}
	if ahead != nil {
		r.Ahead = *ahead
	}
	if r.Damage, err = inventory.ReadDamage(ctx, p.Conn); err != nil {
		return err
	}
	if missing, _ := r.Damage.Lines(); missing != "" {
		p.Log.Error(missing) // with --quiet too
	}
	r.Problems, err = inventory.ReadProblems(ctx, p.Conn, namedProblems)
	return err
}

// choose has the server choose what may be deleted, and counts it by class.
func (p *pack) choose(ctx context.Context) error {
	r := p.report
	if r.Unreachable.Objects < fewUnreachable {
		// Workers take longer to start than there is work for them.
		if _, err := p.Conn.Exec(ctx, "SET max_parallel_workers_per_gather = 0"); err != nil {
			return fmt.Errorf("choose what to delete: %w", err)
		}
	}
	if err := p.sayBegun(ctx); err != nil {
		return err
	}
	if err := p.readGraceBegan(ctx); err != nil {
		return err
	}
	if err := p.outlast(ctx); err != nil {
		return err
	}
	if _, err := p.Conn.Exec(ctx, "SELECT relpack.doom($1)", r.PackTime); err != nil {
		return fmt.Errorf("choose what to delete: %w", err)
	}
	if err := p.sawSetAside(ctx); err != nil {
		return err
	}
	classes, err := session.Rows(ctx, p.Conn, pgx.RowToStructByPos[inventory.ClassCount], `
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
		ORDER BY bytes DESC`)
	if err != nil {
		return fmt.Errorf("count the chosen by class: %w", err)
	}
	r.Chosen, r.chosenBlobs = figures.Count{}, 0
	for _, c := range classes {
		r.Chosen.Objects += c.Objects
		r.Chosen.Bytes += c.Bytes
		if c.Class == blobClass {
			r.chosenBlobs = c.Objects
		}
	}
	r.ByClass = classes[:min(len(classes), namedClasses)]
	r.young = r.Unreachable.Less(r.Chosen).Less(r.HeldBack).Less(r.HangsOn)
	return nil
}

const fewUnreachable = 50_000

// sayBegun tells of a deletion that was interrupted: what was chosen hangs together,
// and a part of it is gone.
func (p *pack) sayBegun(ctx context.Context) error {
	var left int64
	if err := p.Conn.QueryRow(ctx, "SELECT CASE WHEN begun_until > 0 THEN (SELECT count(*) FROM relpack.doomed) ELSE 0 END FROM relpack.storage").
		Scan(&left); err != nil {
		return fmt.Errorf("read relpack.storage: %w", err)
	}
	if left > 0 {
		p.Log.Warn(fmt.Sprintf("a deletion was interrupted: %s chosen by it go first, whatever --days is now", figures.Plural(left, "object")))
	}
	return nil
}

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

// So many a report has.
const (
	namedProblems = 10
	namedClasses  = 10
)

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
