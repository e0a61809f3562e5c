package runner

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/figures"
	"relpack/runner/pickle"
	"relpack/runner/session"
	"relpack/runner/target"
)

// A ForeignCount is how many references lead to another database.
type ForeignCount struct {
	Database   string `json:"database"`
	References int64  `json:"references"`
	// Named tells whether the configuration file has a database of that name.
	Named bool `json:"named"`
}

// A Referrer is another storage that refers to this one, or may.
type Referrer struct {
	Storage    string     `json:"storage"`
	References int64      `json:"references"`
	Unreadable int64      `json:"unreadable"` // objects that can't be decoded
	Looked     *time.Time `json:"looked"`     // nil: it was never read
	Origin     string     `json:"-"`
}

// blocks tells whether nothing is deleted because of it.
func (r Referrer) blocks() bool { return r.References > 0 || r.Unreadable > 0 || r.Looked == nil }

// consequence is what follows from what String says. One that was never read may
// have been named by mistake.
func (r Referrer) consequence() string {
	gone := "SELECT relpack.forget_referrer(" + quoteText(r.Storage) + ")"
	switch {
	case r.References > 0 || r.Unreadable > 0:
		return ", so that nothing is deleted here"
	case r.Looked == nil:
		return ", so that nothing is deleted here before it is: name it in the configuration file again; if it is gone: " + gone
	}
	return ", which stays. Of a storage that is gone: " + gone
}

// OtherDatabases is the part of a report about other databases.
type OtherDatabases struct {
	ForeignReferences int64          `json:"foreign_references"` // to other databases
	ForeignDatabases  []ForeignCount `json:"foreign_databases"`
	ReferredBy        []Referrer     `json:"referred_by"` // other storages that refer to this one, or may
	// GraceBegan is when another storage ceased to refer to this one, if that is
	// why nothing can be deleted.
	GraceBegan *time.Time `json:"grace_began,omitempty"`
	Warnings   []string   `json:"warnings"` // about the configuration
}

func noOthers(t target.Target) OtherDatabases {
	return OtherDatabases{ForeignDatabases: []ForeignCount{}, ReferredBy: []Referrer{}, Warnings: append([]string{}, t.Warnings...)}
}

// KnownOfOthers is what the schema relpack says of other databases.
type KnownOfOthers struct {
	Foreign    []ForeignCount `json:"foreign_databases"` // what is referred to there
	ReferredBy []Referrer     `json:"referred_by"`       // other storages
}

// String is for people. A database that the file doesn't name may refer back
// without relpack ever knowing.
func (f ForeignCount) String() string {
	text := fmt.Sprintf("%s lead%s to database %q", figures.Plural(f.References, "reference"), figures.VerbEnding(f.References), f.Database)
	if f.Named {
		return text + "."
	}
	return text + ", which no section of a configuration file names: whether it refers back is unknown."
}

// String is for people.
func (r Referrer) String() string {
	switch {
	case r.References > 0:
		return fmt.Sprintf("%s of %s lead%s here", figures.Plural(r.References, "reference"), r.Storage, figures.VerbEnding(r.References))
	case r.Unreadable > 0:
		return fmt.Sprintf("%s of %s can't be decoded and may refer to this storage", figures.Plural(r.Unreadable, "object"), r.Storage)
	case r.Looked != nil:
		return fmt.Sprintf("%s may refer to what is younger than the last look at it, %s", r.Storage, r.Looked.UTC().Format(lookFormat))
	}
	return fmt.Sprintf("%s was never read and may refer to this storage", r.Storage)
}

const lookFormat = "2006-01-02 15:04:05 UTC"

func quoteText(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

const foreignCounts = `
	SELECT database, count(*), zoid = -1
	FROM relpack.foreign_reference
	GROUP BY database, zoid = -1
	ORDER BY database`

const referrers = `
	SELECT holder, refs, unreadable, CASE WHEN isfinite(looked) THEN looked END, origin
	FROM relpack.referred_by
	WHERE refs > 0 OR unreadable > 0 OR looked IS NULL OR looked < 'infinity'
	ORDER BY holder, origin`

// readForeign counts what the storage refers to in other databases.
func (p *pack) readForeign(ctx context.Context, refs *foreignRefs) error {
	rows, err := p.conn.Query(ctx, foreignCounts)
	if err != nil {
		return fmt.Errorf("count references to other databases: %w", err)
	}
	var found ForeignCount
	var unreadable bool
	if _, err = pgx.ForEachRow(rows, []any{&found.Database, &found.References, &unreadable}, func() error {
		if unreadable {
			refs.unreadable = found.References
			return nil
		}
		found.Named = p.target.File.Knows(found.Database)
		refs.databases = append(refs.databases, found)
		return nil
	}); err != nil {
		return fmt.Errorf("count references to other databases: %w", err)
	}
	if len(refs.databases) == 0 && refs.unreadable == 0 && len(p.family.others(p.target)) == 0 {
		return nil
	}
	if err := p.conn.QueryRow(ctx, "SELECT relpack.origin()").Scan(&refs.origin); err != nil {
		return fmt.Errorf("identify the database: %w", err)
	}
	return nil
}

// openSince asks since when the oldest transaction of the storage's clients is
// open: what it stored in another database may not be referred to yet.
func (p *pack) openSince(ctx context.Context, refs *foreignRefs) error {
	var seconds float64
	if err := p.conn.QueryRow(ctx, `SELECT coalesce(extract(epoch FROM clock_timestamp() - relpack.grace_oldest_transaction()), 0)::float8`).
		Scan(&seconds); err != nil {
		return fmt.Errorf("look for open transactions: %w", err)
	}
	refs.open = time.Duration(max(seconds, 0) * float64(time.Second))
	return nil
}

// noteUnread makes those storages of the file that were never read keep this one
// from being swept, until they are.
func (p *pack) noteUnread(ctx context.Context) error {
	var names []string
	for _, m := range p.family.others(p.target) {
		if m.refs == nil {
			names = append(names, m.target.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	if _, err := p.conn.Exec(ctx, "SELECT relpack.note_unread($1)", names); err != nil {
		return fmt.Errorf("note which storages were never read: %w", err)
	}
	return nil
}

// noteReferrers writes down which storages of the file refer to this one, itself
// included: a database may have got the name of another.
func (p *pack) noteReferrers(ctx context.Context) error {
	own := &foreignRefs{}
	if err := p.readForeign(ctx, own); err != nil {
		return err
	}
	p.report.ForeignDatabases = append([]ForeignCount{}, own.databases...)
	for _, found := range own.databases {
		p.report.ForeignReferences += found.References
	}
	err := p.noteUnread(ctx)
	looked := map[string]bool{}
	for _, m := range p.family.others(p.target) {
		if err == nil && m.refs != nil {
			looked[m.refs.origin] = true
			err = p.noteReferrer(ctx, m.target.Name, m.refs, m.refs.origin == own.origin)
		}
	}
	toItself, _ := referredBy(p.target, own, true)
	if err == nil && toItself > 0 {
		err = p.noteReferrer(ctx, p.target.Name, own, true)
	}
	if err != nil {
		return fmt.Errorf("note which storages refer to this one: %w", err)
	}
	found, err := session.Rows(ctx, p.conn, pgx.RowToStructByPos[Referrer], referrers)
	if err != nil {
		return fmt.Errorf("read relpack.referred_by: %w", err)
	}
	for _, r := range found {
		if !r.blocks() && looked[r.Origin] {
			continue
		}
		if r.Storage == p.target.Name && toItself == 0 {
			// It did once.
			if _, err := p.conn.Exec(ctx, "SELECT relpack.forget_referrer($1, relpack.origin())", r.Storage); err != nil {
				return fmt.Errorf("note which storages refer to this one: %w", err)
			}
			continue
		}
		p.report.ReferredBy = append(p.report.ReferredBy, r)
	}
	return nil
}

func (p *pack) noteReferrer(ctx context.Context, holder string, refs *foreignRefs, self bool) error {
	count, unreadable := referredBy(p.target, refs, self)
	_, err := p.conn.Exec(ctx, "SELECT relpack.note_referrer($1, $2, $3, $4, make_interval(secs => $5))",
		holder, refs.origin, count, unreadable, refs.ago().Seconds())
	return err
}

// refsLeft counts again what is referred to elsewhere, as objects that did are
// deleted: the storages that follow need not be held up by them.
func (p *pack) refsLeft(ctx context.Context) error {
	m := p.family.member(p.target)
	if m == nil || m.refs == nil || p.report.Deleted.Objects == 0 || len(m.refs.databases) == 0 {
		return nil
	}
	left := &foreignRefs{at: m.refs.at, open: m.refs.open}
	if err := p.readForeign(ctx, left); err != nil {
		return err
	}
	m.refs = left
	return nil
}

// referredBy counts how many of a storage's references may mean this one. Where
// the file doesn't tell how it is called, those may that mean no other.
func referredBy(t target.Target, refs *foreignRefs, self bool) (count, unreadable int64) {
	for _, found := range refs.databases {
		mine := len(t.Names) == 0 && !self && !found.Named
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

// readGraceBegan finds out whether nothing can be deleted because another storage
// referred to this one until lately.
func (p *pack) readGraceBegan(ctx context.Context) error {
	if err := p.conn.QueryRow(ctx, "SELECT relpack.grace_began($1)", p.report.packTime).Scan(&p.report.GraceBegan); err != nil {
		return fmt.Errorf("look when the grace began: %w", err)
	}
	return nil
}

// A foreignChunk is what relpack.verify_foreign takes.
type foreignChunk struct {
	inrefs, zoids []int64
	databases     []string
}

func (c *foreignChunk) add(zoid int64, refs []pickle.Foreign) {
	for _, ref := range refs {
		c.inrefs = append(c.inrefs, zoid)
		c.zoids = append(c.zoids, ref.Oid)
		c.databases = append(c.databases, pickle.Plain(ref.Database))
	}
}
