package runner

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/dustin/go-humanize"
	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
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

// findingSet collects what the workers of one pass find: of each kind the number
// and the first ten.
type findingSet struct {
	mark   bool // what differs goes to relpack.pending
	packer uint32
	mu     sync.Mutex
	byKind map[string]*Finding
}

func (f *findingSet) add(kind string, objects int64, zoids []int64) {
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

// pend has objects examined by the next update, or by the next pack should this
// run not come so far.
func (f *findingSet) pend(ctx context.Context, conn *pgx.Conn, zoids []int64) error {
	if !f.mark || len(zoids) == 0 {
		return nil
	}
	if _, err := conn.Exec(ctx, "SELECT relpack.pend($1, $2)", f.packer, zoids); err != nil {
		return fmt.Errorf("note what differs in relpack.pending: %w", err)
	}
	return nil
}

// inWords completes the findings by what the server says about their kinds, the
// errors first, and adds what keeps relpack from working at all.
func (v *verification) inWords(ctx context.Context) ([]Finding, error) {
	found := []Finding{}
	if err := v.looking(ctx, func() error {
		_, err := v.conn.Exec(ctx, "SELECT relpack.require_storage()")
		return err
	}); err != nil {
		refusal, refused := fault.AsRefusal(err)
		if !refused {
			return nil, fmt.Errorf("look at the storage: %w", err)
		}
		found = append(found, Finding{Kind: outOfForce, Severity: "error", Meaning: refusal.Message, Zoids: []int64{}, Remedy: refusal.Hint})
	}
	rows, err := v.conn.Query(ctx, "SELECT kind, severity, meaning, remedy FROM relpack.finding_kind ORDER BY array_position(ARRAY['error', 'damage', 'note'], severity), meaning")
	if err != nil {
		return nil, fmt.Errorf("read relpack.finding_kind: %w", err)
	}
	var kind Finding
	_, err = pgx.ForEachRow(rows, []any{&kind.Kind, &kind.Severity, &kind.Meaning, &kind.Remedy}, func() error {
		if f := v.findings.byKind[kind.Kind]; f != nil {
			f.Severity, f.Meaning, f.Remedy = kind.Severity, kind.Meaning, kind.Remedy
			if f.Kind == "blob_without_file" && v.filesFound == 0 {
				f.Remedy = fmt.Sprintf("Mount %s, or name the right blob directory: it holds the file of no live blob", v.dir.path)
			}
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

// outOfForce is a storage without its root, or triggers that are off now. No
// comparison mends it.
const outOfForce = "out of force"

// toMend tells whether a repair has something to do. References to objects that
// are not stored are the application's, and so is what else is damaged.
func toMend(found []Finding) bool {
	return slices.ContainsFunc(found, func(f Finding) bool { return f.Kind != "dangling" && f.Severity != "damage" })
}

// off is the error for findings that are errors or damage, or nil. What keeps
// relpack from working has a remedy of its own, and so has damage.
func off(found []Finding, remedy string) error {
	var texts []string
	var damage error
	for _, f := range found {
		if f.Severity == "damage" && damage == nil {
			damage = fault.Refuse(f.Remedy, "%s", f)
		}
		if f.Severity != "error" {
			continue
		}
		if f.Kind == outOfForce {
			return fault.Refuse(f.Remedy, "%s", f.Meaning)
		}
		texts = append(texts, f.String())
	}
	if len(texts) == 0 {
		return damage
	}
	return fault.Refuse(remedy, "the graph does not describe the storage: %s", strings.Join(texts, "; "))
}
