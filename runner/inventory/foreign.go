package inventory

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/figures"
	"relpack/runner/session"
)

// A ForeignCount is how many references lead to another database.
type ForeignCount struct {
	Database   string `json:"database"`
	References int64  `json:"references"`
	// Named tells whether the configuration file has a database of that name.
	Named bool `json:"named"`
	// MayBe are storages of the file that it may be, if it has none of that name.
	MayBe []string `json:"may_be,omitempty"`
}

// A Referrer is another storage that refers to this one, or may.
type Referrer struct {
	Storage    string     `json:"storage"`
	References int64      `json:"references"`
	Unreadable int64      `json:"unreadable"` // objects that can't be decoded
	Looked     *time.Time `json:"looked"`     // nil: it was never read
	Origin     string     `json:"-"`
	File       string     `json:"-" db:"-"` // configuration file that names it now; "": none, or nobody asked
}

// Blocks tells whether nothing is deleted because of it.
func (r Referrer) Blocks() bool { return r.References > 0 || r.Unreadable > 0 || r.Looked == nil }

// Consequence is what follows from what String says. One that was never read may
// have been named by mistake, as a database that does not exist.
func (r Referrer) Consequence() string {
	gone := "SELECT relpack.forget_referrer(" + quoteText(r.Storage) + ")"
	switch {
	case r.References > 0 || r.Unreadable > 0:
		return ", so that nothing is deleted here"
	case r.Looked == nil:
		return ": nothing is deleted here until it is. Correct its dsn and pack again; or, if it was a mistake, take it out of the file and run in this database: " + gone
	}
	return ", which stays. Of a storage that is gone: " + gone
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
	text += ", which no section of a configuration file names: "
	if len(f.MayBe) > 0 {
		return text + fmt.Sprintf("it may be %s. Write <zodb NAME>, with the name that references have, around each <relstorage>.", strings.Join(f.MayBe, " or "))
	}
	return text + "whether it refers back is unknown."
}

// String is for people.
func (r Referrer) String() string {
	switch {
	case r.References > 0:
		return fmt.Sprintf("%s of %s lead%s here", figures.Plural(r.References, "reference"), r.Storage, figures.VerbEnding(r.References))
	case r.Unreadable > 0:
		return fmt.Sprintf("%s of %s can't be decoded and may refer to this storage", figures.Plural(r.Unreadable, "object"), r.Storage)
	case r.Looked != nil:
		return fmt.Sprintf("%s may refer to what is younger than the last look at it, %s", r.Storage, r.Looked.UTC().Format(LookFormat))
	}
	if r.File == "" {
		return fmt.Sprintf("%s of a configuration file was never read", r.Storage)
	}
	return fmt.Sprintf("section %s of %s was never read", r.Storage, r.File)
}

// LookFormat is how a look at another storage is dated.
const LookFormat = "2006-01-02 15:04:05 UTC"

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

// ReadForeign counts what the storage refers to in other databases, and its objects
// that may refer to any of them.
func ReadForeign(ctx context.Context, db session.Querier) (databases []ForeignCount, unreadable int64, err error) {
	rows, err := db.Query(ctx, foreignCounts)
	if err != nil {
		return nil, 0, fmt.Errorf("count references to other databases: %w", err)
	}
	databases = []ForeignCount{}
	var found ForeignCount
	var opaque bool
	_, err = pgx.ForEachRow(rows, []any{&found.Database, &found.References, &opaque}, func() error {
		if opaque {
			unreadable = found.References
		} else {
			databases = append(databases, found)
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("count references to other databases: %w", err)
	}
	return databases, unreadable, nil
}

// ReadReferrers reads which other storages refer to this one, or may.
func ReadReferrers(ctx context.Context, db session.Querier) ([]Referrer, error) {
	found, err := session.Rows(ctx, db, pgx.RowToStructByPos[Referrer], referrers)
	if err != nil {
		return nil, fmt.Errorf("read relpack.referred_by: %w", err)
	}
	return found, nil
}
