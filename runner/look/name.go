package look

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"relpack/runner/naming"
	"relpack/runner/pickle/tree"
)

// maxState is how long a state may be that is read for the names in it.
const maxState = 16 << 20

// A Record is the state of an object that a client loads, as far as it can be read: of a
// history-preserving storage that which current_object names, if any, else the newest.
type Record struct {
	tree.Record
	Empty bool // there is none: the object's creation was undone, or a tool emptied it
}

// recordCache keeps the last records that were read.
type recordCache struct {
	records map[int64]Record
	bytes   int
}

// How many records are kept, and how many bytes of states.
const (
	cachedRecords = 200
	cachedBytes   = 1 << 20
)

// Record reads and decodes an object's state, as far as that goes: one that is not
// stored, is too long or can't be decoded has an empty record.
func (g *Graph) Record(ctx context.Context, zoid int64) (Record, error) {
	if r, known := g.records.records[zoid]; known {
		return r, nil
	}
	var r Record
	var state []byte
	named := ""
	if g.fresh.history {
		named = "(SELECT current_object.tid FROM public.current_object WHERE current_object.zoid = $1), "
	}
	err := g.tx.QueryRow(ctx, `SELECT CASE WHEN octet_length(stored.state) <= $2 THEN stored.state END, coalesce(octet_length(stored.state), 0) = 0
		FROM (SELECT coalesce(`+named+`(SELECT max(newest.tid) FROM relpack.stored() AS newest WHERE newest.zoid = $1)) AS tid OFFSET 0) AS loaded
		CROSS JOIN LATERAL (
		    SELECT stored.state FROM relpack.stored() WHERE stored.zoid = $1 AND stored.tid BETWEEN loaded.tid AND loaded.tid OFFSET 0
		) AS stored`, zoid, maxState).Scan(&state, &r.Empty)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return r, fmt.Errorf("read zoid %d: %w", zoid, err)
	}
	if len(state) > 0 {
		r.Record, _ = tree.Read(state)
	}
	if len(g.records.records) >= cachedRecords || g.records.bytes > cachedBytes {
		g.records = recordCache{}
	}
	if g.records.records == nil {
		g.records.records = map[int64]Record{}
	}
	g.records.records[zoid] = r
	g.records.bytes += len(state)
	return r, nil
}

// A Name is how an object holds another.
type Name struct {
	Name   string `json:"name"`             // continues the holder's own: ".title", "['news']"; "" where it can't be told
	Inner  bool   `json:"inner,omitempty"`  // between parts of a BTree, which have no name
	Places int    `json:"places,omitempty"` // in how many places the holder has it
	Up     bool   `json:"up,omitempty"`     // it says who holds the holder, as __parent__ does
	Old    bool   `json:"old,omitempty"`    // only other revisions of the holder have it than a client loads
}

// maxNames bounds the names that are kept.
const maxNames = 10_000

// NameOf tells under which name one object holds another.
func (g *Graph) NameOf(ctx context.Context, holder, zoid int64) (Name, error) {
	key := [2]int64{holder, zoid}
	if name, known := g.names[key]; known {
		return name, nil
	}
	r, err := g.Record(ctx, holder)
	if err != nil {
		return Name{}, err
	}
	place, places := naming.Find(r.Record, zoid)
	name := Name{Name: place.Name, Inner: place.Inner, Places: places, Up: place.Up,
		Old: places == 0 && g.fresh.history && (r.Empty || r.State != nil)}
	if len(g.names) >= maxNames {
		clear(g.names)
	}
	g.names[key] = name
	return name, nil
}

// A Step of a way is an object, and how the one before it holds it.
type Step struct {
	Zoid  int64  `json:"zoid"`
	Class string `json:"class"`
	Name
	// Missing is set if its row has vanished: relpack keeps what hangs on it.
	Missing bool `json:"missing,omitempty"`
}

// maxNamed is how many steps of a way have names: half of them from the root on,
// half of them at the end.
const maxNamed = 200

// Steps describes a way.
func (g *Graph) Steps(ctx context.Context, zoids []int64) ([]Step, error) {
	objects, err := g.Objects(ctx, zoids)
	if err != nil {
		return nil, err
	}
	steps := make([]Step, len(objects))
	for i, o := range objects {
		steps[i] = Step{Zoid: o.Zoid, Class: o.Class, Missing: !o.Stored()}
		if i == 0 {
			continue
		}
		if len(objects) > maxNamed && i > maxNamed/2 && i < len(objects)-maxNamed/2 {
			steps[i].Name.Name = unnamed
			continue
		}
		if steps[i].Name, err = g.NameOf(ctx, objects[i-1].Zoid, o.Zoid); err != nil {
			return nil, err
		}
	}
	return steps, nil
}

// unnamed stands for a name in the middle of a long way.
const unnamed = "…"

// Shown are the steps that a person sees: the parts of a BTree are one.
func Shown(steps []Step) []Step {
	var shown []Step
	for i, s := range steps {
		if s.Inner && i < len(steps)-1 {
			continue
		}
		shown = append(shown, s)
	}
	return shown
}

// Expression writes a way as Python would. What can't be told is shown as "?".
func Expression(steps []Step) string {
	text := ""
	for i, s := range steps {
		switch {
		case i == 0 && s.Zoid == 0:
			text = "root"
		case i == 0:
			text = fmt.Sprintf("<zoid %d>", s.Zoid)
		case s.Inner:
		case s.Name.Name == unnamed:
			text = strings.TrimSuffix(text, unnamed) + unnamed
		case s.Name.Name == "" && s.Places == 0:
			text += ".?"
		default:
			text += s.Name.Name
		}
	}
	return text
}
