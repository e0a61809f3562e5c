package look

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// An Object is what is known of one.
type Object struct {
	Zoid    int64
	Class   string     // "" where it is not known
	Size    int64      // bytes of its state
	Written *time.Time // nil: it is not stored
	Tid     int64      // that wrote it, 0: it is not stored
	Known   bool       // the graph has it
	Missing *time.Time // since when its row is known to have vanished
	// Detached is since when the graph knows it to be unreachable; nil where it
	// isn't, or where nobody knows since when.
	Detached *time.Time
	dead     bool // the graph has no parent of it
	blob     bool // the graph calls it one
}

// IsBlob tells whether it is a blob.
func (o Object) IsBlob() bool { return o.blob || o.Class == blobClass }

// blobClass is the class of blobs.
const blobClass = "ZODB.blob.Blob"

// Stored tells whether object_state has it.
func (o Object) Stored() bool { return o.Tid != 0 }

// Objects looks some up, in their order.
func (g *Graph) Objects(ctx context.Context, zoids []int64) ([]Object, error) {
	rows, err := g.tx.Query(ctx, `
		SELECT wanted.zoid, coalesce(nullif(class.label, '(unknown)'), ''), coalesce(stored.size, object.size, 0)::bigint,
		       relpack.tid_to_time(stored.tid), coalesce(stored.tid, 0), object.zoid IS NOT NULL, missing.since,
		       relpack.tid_to_time(object.detached_tid), object.zoid IS NOT NULL AND object.parent IS NULL, coalesce(object.class = 1, false)
		FROM unnest($1::bigint[]) WITH ORDINALITY AS wanted (zoid, place)
		LEFT JOIN LATERAL (
		    SELECT stored.tid, coalesce(octet_length(stored.state), 0) AS size
		    FROM relpack.stored()
		    WHERE stored.zoid = wanted.zoid
		    ORDER BY stored.tid DESC
		    LIMIT 1
		) AS stored ON true
		LEFT JOIN LATERAL (
		    SELECT object.zoid, object.size, object.class, object.parent, object.detached_tid
		    FROM relpack.object
		    WHERE object.zoid = wanted.zoid
		    OFFSET 0
		) AS object ON true
		LEFT JOIN relpack.class ON class.id = object.class
		LEFT JOIN relpack.missing ON missing.zoid = wanted.zoid
		ORDER BY wanted.place`, zoids)
	if err != nil {
		return nil, fmt.Errorf("look objects up: %w", err)
	}
	objects, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (o Object, err error) {
		err = row.Scan(&o.Zoid, &o.Class, &o.Size, &o.Written, &o.Tid, &o.Known, &o.Missing, &o.Detached, &o.dead, &o.blob)
		return o, err
	})
	if err != nil {
		return nil, fmt.Errorf("look objects up: %w", err)
	}
	for i := range objects {
		if class, known := g.fresh.classes[objects[i].Zoid]; known {
			objects[i].Class = class
		}
	}
	return objects, nil
}

// A Verdict says whether an object is alive.
type Verdict string

// The verdicts.
const (
	Alive       Verdict = "alive"
	Unreachable Verdict = "unreachable"
	NotStored   Verdict = "not stored"
	Unknown     Verdict = "unknown" // the graph may not describe the storage by now
)

// Judge tells of objects whether they are alive. It looks no further than the
// graph's own tree: Unknown may be made certain by [Graph.Way].
func (g *Graph) Judge(ctx context.Context, objects []Object) ([]Verdict, error) {
	zoids := make([]int64, len(objects))
	for i, o := range objects {
		zoids[i] = o.Zoid
	}
	if err := g.climb(ctx, zoids); err != nil {
		return nil, err
	}
	verdicts := make([]Verdict, len(objects))
	for i, o := range objects {
		switch {
		case !o.Stored():
			verdicts[i] = NotStored
		case g.hangsOnRoot(o.Zoid, none, g.alive):
			verdicts[i] = Alive
		case o.dead && !g.fresh.has(o.Zoid) && len(g.fresh.dead) == 0 && g.Uncertain == "":
			verdicts[i] = Unreachable
		default:
			verdicts[i] = Unknown
		}
	}
	return verdicts, nil
}
