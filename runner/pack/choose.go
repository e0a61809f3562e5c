package pack

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/figures"
	"relpack/runner/inventory"
	"relpack/runner/session"
)

// Choice is the part of a report about what may be deleted.
type Choice struct {
	// PackTime is until when an object must have been left alone to be chosen, by the
	// server's clock; nil: before that was asked, or with a negative Days.
	PackTime *time.Time             `json:"pack_time"`
	Chosen   figures.Count          `json:"chosen"`   // of the unreachable, beyond the grace
	ByClass  []inventory.ClassCount `json:"by_class"` // of the chosen, the largest, parts of BTrees last
	// MoreClasses is how many other classes they have.
	MoreClasses int64 `json:"more_classes"`
	Held
	HeldBy string `json:"held_by,omitempty"` // an open transaction, for which something older than the grace stays
	// GraceBegan is when another storage ceased to refer to this one, if that is
	// why nothing can be deleted.
	GraceBegan *time.Time `json:"grace_began,omitempty"`

	made  bool          // what may be deleted is known
	young figures.Count // unreachable, and neither chosen nor held back
	blobs int64         // of the chosen
}

func noChoice() Choice {
	return Choice{ByClass: []inventory.ClassCount{}, Held: Held{SetAside: []inventory.SetAside{}}}
}

const (
	fewUnreachable = 50_000
	namedClasses   = 10 // so many a report has
	blobClass      = "ZODB.blob.Blob"
)

// choose has the server choose what may be deleted of what is unreachable, with the
// pack time given. firstBuild: nobody knows since when it is unreachable.
func (p *pack) choose(ctx context.Context, unreachable figures.Count, packTime *time.Time, firstBuild bool) (c Choice, err error) {
	c = noChoice()
	c.PackTime = packTime
	if unreachable.Objects == 0 {
		c.made = true
		return c, nil
	}
	if unreachable.Objects < fewUnreachable {
		// Workers take longer to start than there is work for them.
		if _, err := p.Conn.Exec(ctx, "SET max_parallel_workers_per_gather = 0"); err != nil {
			return c, fmt.Errorf("choose what to delete: %w", err)
		}
	}
	if err := p.sayBegun(ctx); err != nil {
		return c, err
	}
	// Another storage may have referred to this one until lately.
	if err := p.Conn.QueryRow(ctx, "SELECT relpack.grace_began($1)", packTime).Scan(&c.GraceBegan); err != nil {
		return c, fmt.Errorf("look when the grace began: %w", err)
	}
	if firstBuild && packTime != nil && c.GraceBegan == nil {
		if err := p.outlast(ctx, packTime); err != nil {
			return c, err
		}
	}
	if _, err := p.Conn.Exec(ctx, "SELECT relpack.doom($1)", packTime); err != nil {
		return c, fmt.Errorf("choose what to delete: %w", err)
	}
	if c.Held, err = p.held(ctx); err != nil {
		return c, err
	}
	if err := p.countChosen(ctx, &c); err != nil {
		return c, err
	}
	c.young = unreachable.Less(c.Chosen).Less(c.HeldBack).Less(c.HangsOn)
	c.made = true
	if c.young.Objects == 0 || packTime == nil || p.History {
		return c, nil
	}
	c.HeldBy, err = p.holder(ctx, packTime)
	if c.HeldBy != "" && !firstBuild { // else outlast said so
		p.say(slog.LevelWarn, c.heldBy())
	}
	return c, err
}

// countChosen counts what was chosen, by class.
func (p *pack) countChosen(ctx context.Context, c *Choice) error {
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
		ORDER BY class.module LIKE 'BTrees.%', bytes DESC`)
	if err != nil {
		return fmt.Errorf("count the chosen by class: %w", err)
	}
	for _, class := range classes {
		c.Chosen.Objects += class.Objects
		c.Chosen.Bytes += class.Bytes
		if class.Class == blobClass {
			c.blobs = class.Objects
		}
	}
	c.ByClass = classes[:min(len(classes), namedClasses)]
	c.MoreClasses = int64(len(classes) - len(c.ByClass))
	return nil
}

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

// packTime fixes the pack time, or tells what it means to have none.
func (p *pack) packTime(ctx context.Context) (*time.Time, error) {
	packTime, err := p.PackTime(ctx, p.options.Days)
	if err == nil && packTime == nil {
		err = p.warnOthers(ctx)
	}
	return packTime, err
}

// runsPackTime is the pack time, which is fixed once where a history is trimmed.
func (p *pack) runsPackTime(ctx context.Context) (*time.Time, error) {
	if p.History {
		return p.history.packTime, nil
	}
	return p.packTime(ctx)
}

// A first build doesn't know since when its garbage is such: transactions that
// were open while it read may see all of it attached.
const readersPatience = 2 * time.Second

// outlast waits for those to end, for a moment: on a busy site there is always
// one, and hardly ever for long.
func (p *pack) outlast(ctx context.Context, packTime *time.Time) error {
	for start := time.Now(); ; {
		var nothing bool
		if err := p.Conn.QueryRow(ctx, "SELECT relpack.doom_until($1) = 0", packTime).Scan(&nothing); err != nil {
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

// holder names the open transaction that keeps what is beyond the grace, or nobody.
func (p *pack) holder(ctx context.Context, packTime *time.Time) (string, error) {
	var holder *string
	if err := p.Conn.QueryRow(ctx, "SELECT relpack.held_by($1)", packTime).Scan(&holder); err != nil {
		return "", fmt.Errorf("look for open transactions: %w", err)
	}
	if holder == nil {
		return "", nil
	}
	return *holder, nil
}

// heldBy says for whom something stays; "" for nobody.
func (c Choice) heldBy() string {
	if c.HeldBy == "" {
		return ""
	}
	return fmt.Sprintf("what an open transaction may still see stays until it ends (%s)", c.HeldBy)
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
