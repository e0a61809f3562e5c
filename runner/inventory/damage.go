package inventory

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jackc/pgx/v5"

	"relpack/runner/figures"
	"relpack/runner/session"
)

// A Damage is what live objects refer to and is not stored: the application
// gets POSKeyError. relpack finds it, and mends nothing.
type Damage struct {
	// Missing are objects that relpack knew and whose rows vanished since: it
	// keeps what hangs on them.
	Missing      []LostObject `json:"missing"` // at most 10
	MissingCount int64        `json:"missing_count"`
	// Dangling is what was never stored as far as relpack knows, or was garbage
	// when it was deleted.
	Dangling      []LostObject `json:"dangling"` // at most 10
	DanglingCount int64        `json:"dangling_count"`
}

// NoDamage is none, with lists that are not null in JSON.
func NoDamage() Damage { return Damage{Missing: []LostObject{}, Dangling: []LostObject{}} }

// A LostObject is not stored, and referred to.
type LostObject struct {
	Zoid      int64      `json:"zoid"`
	Class     string     `json:"class,omitempty"` // of a missing one, as last read
	Since     *time.Time `json:"since,omitempty"` // a pack found it missing
	Referrers []int64    `json:"referrers"`       // live ones, at most 3
}

// What was stored since the last capture is not lost any more.
const readDamage = `
	(SELECT true, count(*) OVER (), zoid, class, since, inrefs
	 FROM relpack.missing_object
	 WHERE NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = missing_object.zoid)
	 ORDER BY zoid
	 LIMIT 10)
	UNION ALL
	(SELECT false, count(*) OVER (), zoid, '', NULL, inrefs
	 FROM relpack.dangling_reference
	 WHERE NOT EXISTS (SELECT FROM relpack.stored() WHERE stored.zoid = dangling_reference.zoid)
	 ORDER BY zoid
	 LIMIT 10)`

// ReadDamage reads what is missing and what dangles.
func ReadDamage(ctx context.Context, db session.Querier) (Damage, error) {
	d := NoDamage()
	rows, err := db.Query(ctx, readDamage)
	if err != nil {
		return d, fmt.Errorf("read relpack.missing_object and relpack.dangling_reference: %w", err)
	}
	var missing bool
	var count int64
	var lost LostObject
	_, err = pgx.ForEachRow(rows, []any{&missing, &count, &lost.Zoid, &lost.Class, &lost.Since, &lost.Referrers}, func() error {
		if missing {
			d.Missing, d.MissingCount = append(d.Missing, lost), count
		} else {
			d.Dangling, d.DanglingCount = append(d.Dangling, lost), count
		}
		lost = LostObject{}
		return nil
	})
	if err != nil {
		return d, fmt.Errorf("read relpack.missing_object and relpack.dangling_reference: %w", err)
	}
	return d, nil
}

// Lines are for people: of each kind one.
func (d Damage) Lines() (missing, dangling string) {
	if d.MissingCount > 0 {
		rows, them := "the rows of "+figures.Plural(d.MissingCount, "object"), "them"
		if d.MissingCount == 1 {
			rows, them = "the row of 1 object", "it"
		}
		missing = fmt.Sprintf("%s vanished though reachable objects refer to %s: %s; relpack keeps what %s referred to. "+
			"Restore %s, or give %s up with --accept-missing ZOID; \"relpack why ZOID\" says what would be garbage then", rows, them, few(d.Missing, d.MissingCount),
			map[bool]string{true: "it", false: "they"}[d.MissingCount == 1], them, them)
	}
	if d.DanglingCount > 0 {
		dangling = fmt.Sprintf("reachable objects refer to %s not stored (POSKeyError): %s; \"relpack check\" says where",
			map[bool]string{true: "1 object that is", false: humanize.Comma(d.DanglingCount) + " objects that are"}[d.DanglingCount == 1],
			few(d.Dangling, d.DanglingCount))
	}
	return missing, dangling
}

// few names some with who refers to them.
func few(some []LostObject, of int64) string {
	var texts []string
	for _, l := range some[:min(len(some), 3)] {
		what := fmt.Sprintf("zoid %d", l.Zoid)
		if l.Class != "" {
			what += " " + l.Class
		}
		texts = append(texts, fmt.Sprintf("%s (from %s)", what, strings.Trim(strings.ReplaceAll(fmt.Sprint(l.Referrers), " ", ", "), "[]")))
	}
	if more := of - int64(len(texts)); more > 0 {
		texts = append(texts, humanize.Comma(more)+" more")
	}
	return strings.Join(texts, ", ")
}
