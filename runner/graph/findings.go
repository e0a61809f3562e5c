package graph

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/dustin/go-humanize"
	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/figures"
)

// A Finding is one kind of thing that is off, or worth knowing.
type Finding struct {
	Kind     string  `json:"kind"`     // relpack.finding_kind
	Severity string  `json:"severity"` // error, damage (of the storage, not the graph) or note
	Meaning  string  `json:"meaning"`
	Objects  int64   `json:"objects"` // how many it concerns; 0 where objects are not what it is about
	Zoids    []int64 `json:"zoids"`   // the first ten of them
	Remedy   string  `json:"remedy"`
}

// firstZoids is how many objects a finding names.
const firstZoids = 10

// String is for people.
func (f Finding) String() string {
	text := f.Meaning
	if f.Objects > 0 {
		text += fmt.Sprintf(": %s", humanize.Comma(f.Objects))
	}
	if len(f.Zoids) > 0 {
		zoids := strings.Trim(fmt.Sprint(f.Zoids), "[]")
		if f.Objects > int64(len(f.Zoids)) {
			zoids += " ..."
		}
		text += " (zoid " + zoids + ")"
	}
	return text
}

// Findings collect what the workers of one pass find: of each kind the number
// and the first ten.
type Findings struct {
	mu     sync.Mutex
	byKind map[string]*Finding
}

// NewFindings are none yet.
func NewFindings() *Findings { return &Findings{byKind: map[string]*Finding{}} }

// None tells whether nothing was found.
func (f *Findings) None() bool { return len(f.byKind) == 0 }

// Has tells whether something of a kind was found.
func (f *Findings) Has(kind string) bool { return f.byKind[kind] != nil }

// Add adds objects of a kind, some of them by name.
func (f *Findings) Add(kind string, objects int64, zoids []int64) {
	if objects == 0 && kind != notCounted {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	known := f.byKind[kind]
	if known == nil {
		known = &Finding{Kind: kind}
		f.byKind[kind] = known
	}
	known.Objects += objects
	known.Zoids = append(known.Zoids, zoids...)
	slices.Sort(known.Zoids)
	known.Zoids = slices.Clone(known.Zoids[:min(len(known.Zoids), firstZoids)])
}

// notCounted is the one kind that is not about so many objects.
const notCounted = "doubt"

// InWords completes the findings by what the server says about their kinds, the
// errors first, and adds what keeps relpack from working at all.
func (c *Comparison) InWords(ctx context.Context) ([]Finding, error) {
	found := []Finding{}
	if err := c.Looking(ctx, func() error {
		_, err := c.Conn.Exec(ctx, "SELECT relpack.require_storage()")
		return err
	}); err != nil {
		refusal, refused := fault.AsRefusal(err)
		if !refused {
			return nil, fmt.Errorf("look at the storage: %w", err)
		}
		found = append(found, Finding{Kind: OutOfForce, Severity: "error", Meaning: refusal.Message, Zoids: []int64{}, Remedy: refusal.Hint})
	}
	rows, err := c.Conn.Query(ctx, "SELECT kind, severity, meaning, remedy FROM relpack.finding_kind ORDER BY array_position(ARRAY['error', 'damage', 'note'], severity), meaning")
	if err != nil {
		return nil, fmt.Errorf("read relpack.finding_kind: %w", err)
	}
	var kind Finding
	_, err = pgx.ForEachRow(rows, []any{&kind.Kind, &kind.Severity, &kind.Meaning, &kind.Remedy}, func() error {
		if f := c.Findings.byKind[kind.Kind]; f != nil {
			f.Severity, f.Meaning, f.Remedy = kind.Severity, kind.Meaning, kind.Remedy
			if f.Zoids == nil {
				f.Zoids = []int64{}
			}
			found = append(found, *f)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read relpack.finding_kind: %w", err)
	}
	return found, nil
}

// OutOfForce is a storage without its root, or triggers that are off now. No
// comparison mends it.
const OutOfForce = "out of force"

// WriteFindings prints those of a severity, or all.
func WriteFindings(line figures.LineWriter, label, severity string, found []Finding) {
	shown := 0
	for _, f := range found {
		if severity != "" && f.Severity != severity {
			continue
		}
		line(figures.Once(label, shown), "%s", f)
		shown++
	}
}
