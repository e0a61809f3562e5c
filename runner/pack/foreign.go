package pack

import (
	"context"
	"fmt"
	"time"

	"relpack/runner/inventory"
	"relpack/runner/session"
	"relpack/runner/target"
)

// OtherDatabases is the part of a report about other databases.
type OtherDatabases struct {
	ForeignReferences int64                    `json:"foreign_references"` // to other databases
	ForeignDatabases  []inventory.ForeignCount `json:"foreign_databases"`
	ReferredBy        []inventory.Referrer     `json:"referred_by"` // other storages that refer to this one, or may
}

func noOthers() OtherDatabases {
	return OtherDatabases{ForeignDatabases: []inventory.ForeignCount{}, ReferredBy: []inventory.Referrer{}}
}

// readForeign counts what the storage refers to in other databases.
func (p *pack) readForeign(ctx context.Context, refs *foreignRefs) (err error) {
	if refs.databases, refs.unreadable, err = inventory.ReadForeign(ctx, p.Conn); err != nil {
		return err
	}
	for i := range refs.databases {
		found := &refs.databases[i]
		found.Named, found.MayBe = p.Target.File.Knows(found.Database), p.Target.File.MayBe(p.Target, found.Database)
	}
	if len(refs.databases) == 0 && refs.unreadable == 0 && len(p.family.others(p.Target)) == 0 {
		return nil
	}
	if err := p.Conn.QueryRow(ctx, "SELECT relpack.origin()").Scan(&refs.origin); err != nil {
		return fmt.Errorf("identify the database: %w", err)
	}
	return nil
}

// openSince asks since when the oldest transaction of the storage's clients is
// open: what it stored in another database may not be referred to yet.
func (p *pack) openSince(ctx context.Context, refs *foreignRefs) error {
	var seconds float64
	if err := p.Conn.QueryRow(ctx, `SELECT coalesce(extract(epoch FROM clock_timestamp() - relpack.grace_oldest_transaction()), 0)::float8`).
		Scan(&seconds); err != nil {
		return fmt.Errorf("look for open transactions: %w", err)
	}
	refs.open = time.Duration(max(seconds, 0) * float64(time.Second))
	return nil
}

// unread are the storages of the file that could not be read.
func (p *pack) unread() (names []string) {
	for _, m := range p.family.others(p.Target) {
		if m.refs == nil {
			names = append(names, m.target.Name)
		}
	}
	return names
}

// noteUnread makes those of them that were never read keep this one from being swept,
// until they are.
func (p *pack) noteUnread(ctx context.Context, db session.Querier) error {
	names := p.unread()
	if len(names) == 0 {
		return nil
	}
	if err := db.QueryRow(ctx, "SELECT relpack.note_unread($1)", names).Scan(nil); err != nil {
		return fmt.Errorf("note which storages were never read: %w", err)
	}
	return nil
}

// withUnread asks what follows from the storages that were never read. A dry run takes
// back that it noted them: its file may be a draft, and they would be known for good.
func (p *pack) withUnread(ctx context.Context, ask func(db session.Querier) error) error {
	if !p.dry() || len(p.unread()) == 0 {
		return ask(p.Conn)
	}
	tx, err := p.Conn.Begin(ctx)
	if err != nil {
		return fmt.Errorf("note which storages were never read: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if err := p.noteUnread(ctx, tx); err != nil {
		return err
	}
	return ask(tx)
}

// noteReferrers writes down which storages of the file refer to this one, itself
// included: a database may have got the name of another.
func (p *pack) noteReferrers(ctx context.Context) (OtherDatabases, error) {
	own, others := &foreignRefs{}, noOthers()
	if err := p.readForeign(ctx, own); err != nil {
		return others, err
	}
	others.ForeignDatabases = append(others.ForeignDatabases, own.databases...)
	for _, found := range own.databases {
		others.ForeignReferences += found.References
	}
	var err error
	if !p.dry() {
		err = p.noteUnread(ctx, p.Conn)
	}
	looked := map[string]bool{}
	for _, m := range p.family.others(p.Target) {
		if err == nil && m.refs != nil {
			looked[m.refs.origin] = true
			if !p.noted {
				err = p.noteReferrer(ctx, m.target.Name, m.refs, m.refs.origin == own.origin)
			}
		}
	}
	p.noted = err == nil
	toItself, _ := referredBy(p.Target, own, true)
	if err == nil && toItself > 0 {
		err = p.noteReferrer(ctx, p.Target.Name, own, true)
	}
	if err != nil {
		return others, fmt.Errorf("note which storages refer to this one: %w", err)
	}
	var found []inventory.Referrer
	if err := p.withUnread(ctx, func(db session.Querier) (err error) {
		found, err = inventory.ReadReferrers(ctx, db)
		return err
	}); err != nil {
		return others, err
	}
	for _, r := range found {
		if !r.Blocks() && looked[r.Origin] {
			continue
		}
		if r.Storage == p.Target.Name && toItself == 0 {
			// It did once.
			if _, err := p.Conn.Exec(ctx, "SELECT relpack.forget_referrer($1, relpack.origin())", r.Storage); err != nil {
				return others, fmt.Errorf("note which storages refer to this one: %w", err)
			}
			continue
		}
		r.File = p.Target.File.Section(r.Storage)
		others.ReferredBy = append(others.ReferredBy, r)
	}
	return others, nil
}

func (p *pack) noteReferrer(ctx context.Context, holder string, refs *foreignRefs, self bool) error {
	count, unreadable := referredBy(p.Target, refs, self)
	_, err := p.Conn.Exec(ctx, "SELECT relpack.note_referrer($1, $2, $3, $4, make_interval(secs => $5))",
		holder, refs.origin, count, unreadable, refs.ago().Seconds())
	return err
}

// refsLeft counts again what is referred to elsewhere, as objects that did are
// deleted: the storages that follow need not be held up by them.
func (p *pack) refsLeft(ctx context.Context) error {
	m := p.family.member(p.Target)
	if m == nil || m.refs == nil || len(m.refs.databases) == 0 {
		return nil
	}
	if cleared, err := p.cleared(ctx); err != nil || !cleared {
		return err // an old revision may be back that refers to more
	}
	left := &foreignRefs{at: m.refs.at, open: m.refs.open}
	if err := p.readForeign(ctx, left); err != nil {
		return err
	}
	m.refs = left
	return nil
}

// referredBy counts how many of a storage's references may mean this one. Where
// the file doesn't tell for certain how it is called, those may that mean no other.
func referredBy(t target.Target, refs *foreignRefs, self bool) (count, unreadable int64) {
	for _, found := range refs.databases {
		mine := !t.Called && !self && !found.Named
		for _, name := range t.Names {
			mine = mine || target.FoldName(name) == target.FoldName(found.Database)
		}
		if mine {
			count += found.References
		}
	}
	if !self {
		unreadable = refs.unreadable
	}
	return count, unreadable
}

// ago is how long ago the storage may have got references that were not found.
// An object that is younger, or was cut off since, may be referred to by now.
func (r *foreignRefs) ago() time.Duration {
	if r.at.IsZero() {
		return 0
	}
	return time.Since(r.at) + r.open
}
