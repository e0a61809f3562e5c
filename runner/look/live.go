package look

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/jackc/pgx/v5"

	"relpack/runner/record"
)

// A Node is a live object of the graph.
type Node struct {
	Zoid, Parent int64
	Class        int32 // relpack.class.id
	Size         int32 // of its state
	Missing      bool  // its row has vanished
}

// Count is how many objects the graph has, and bytes on disk of object_state and of
// large objects.
func (g *Graph) Count(ctx context.Context) (objects, table, largeObjects int64, err error) {
	if err = g.tx.QueryRow(ctx, `SELECT objects, pg_total_relation_size('public.object_state'), pg_total_relation_size('pg_largeobject') FROM relpack.storage`).
		Scan(&objects, &table, &largeObjects); err != nil {
		err = fmt.Errorf("count objects: %w", err)
	}
	return objects, table, largeObjects, err
}

// Unreachable is how many objects are, and how many bytes their states have.
func (g *Graph) Unreachable(ctx context.Context) (objects, bytes int64, err error) {
	if err = g.tx.QueryRow(ctx, "SELECT count(*), coalesce(sum(size), 0) FROM relpack.detached").Scan(&objects, &bytes); err != nil {
		err = fmt.Errorf("count the unreachable: %w", err)
	}
	return objects, bytes, err
}

// EachNode hands on the live objects of the graph in the order of zoids.
func (g *Graph) EachNode(ctx context.Context, each func(Node) error) error {
	// By the primary key, whose order the table has nearly: to sort takes a file.
	if _, err := g.tx.Exec(ctx, "SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off"); err != nil {
		return err
	}
	err := record.Rows(ctx, g.conn, `
		SELECT object.zoid, object.parent,
		       int4send(object.class) || int4send(object.size) || boolsend(object.zoid IN (SELECT missing.zoid FROM relpack.missing))
		FROM relpack.object
		WHERE object.parent IS NOT NULL
		ORDER BY object.zoid`, func(row record.Row) error {
		return each(Node{Zoid: row.Zoid, Parent: row.Tid, Class: int32(binary.BigEndian.Uint32(row.State)),
			Size: int32(binary.BigEndian.Uint32(row.State[4:])), Missing: row.State[8] != 0})
	})
	if err != nil {
		return fmt.Errorf("read the live objects: %w", err)
	}
	_, err = g.tx.Exec(ctx, "SET LOCAL enable_seqscan = on; SET LOCAL enable_sort = on")
	return err
}

// ClassLabels are the names of all classes, by their numbers.
func (g *Graph) ClassLabels(ctx context.Context) (map[int32]string, error) {
	rows, err := g.tx.Query(ctx, "SELECT id, label FROM relpack.class")
	if err != nil {
		return nil, fmt.Errorf("read relpack.class: %w", err)
	}
	labels := map[int32]string{}
	_, err = scanPairs(rows, func(id int32, label string) { labels[id] = label })
	return labels, err
}

// EachReferrer hands on objects that refer to some, at most so many of each.
func (g *Graph) EachReferrer(ctx context.Context, zoids []int64, most int, each func(zoid, from int64)) error {
	rows, err := g.tx.Query(ctx, `
		SELECT target.zoid, edge.inref
		FROM unnest($1::bigint[]) AS target (zoid)
		CROSS JOIN LATERAL (
		    SELECT object_inref.inref
		    FROM relpack.object_inref
		    WHERE object_inref.zoid = target.zoid
		    ORDER BY object_inref.inref
		    LIMIT $2
		) AS edge`, zoids, most)
	if err != nil {
		return fmt.Errorf("read who refers to objects: %w", err)
	}
	_, err = scanPairs(rows, each)
	return err
}

// EachBlobSize hands on what relpack.blob_bytes says of some blobs; bytes is nil where
// this role may not know. There is none for blobs without large objects.
func (g *Graph) EachBlobSize(ctx context.Context, zoids []int64, each func(zoid int64, bytes *int64)) error {
	rows, err := g.tx.Query(ctx, "SELECT zoid, bytes FROM relpack.blob_bytes($1)", zoids)
	if err != nil {
		return fmt.Errorf("look for the sizes of large objects: %w", err)
	}
	var zoid int64
	var bytes *int64
	if _, err = pgx.ForEachRow(rows, []any{&zoid, &bytes}, func() error {
		each(zoid, bytes)
		bytes = nil
		return nil
	}); err != nil {
		err = fmt.Errorf("look for the sizes of large objects: %w", err)
	}
	return err
}

// BlobsAreHere tells whether blob_chunk has rows, or why this role may not see it.
func (g *Graph) BlobsAreHere(ctx context.Context) (any bool, why string, err error) {
	var table, may bool
	var remedy string
	if err := g.tx.QueryRow(ctx, `
		SELECT to_regclass('public.blob_chunk') IS NOT NULL,
		       coalesce(has_table_privilege(to_regclass('public.blob_chunk'), 'SELECT'), false),
		       format('GRANT SELECT ON public.blob_chunk TO %I', current_user)`).Scan(&table, &may, &remedy); err != nil || !table {
		return false, "", err
	}
	if !may {
		return false, "this role may not read blob_chunk. Let its owner run in psql: " + remedy, nil
	}
	err = g.tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM public.blob_chunk)").Scan(&any)
	return any, "", err
}

// GrantLargeObjects lets this role know how long large objects are that it may not open.
func (g *Graph) GrantLargeObjects(ctx context.Context) (statement string, err error) {
	err = g.tx.QueryRow(ctx, "SELECT format('GRANT SELECT ON pg_largeobject TO %I', current_user)").Scan(&statement)
	return statement, err
}

// NameIn tells how an object is held by another, directly or by containers that lie
// between them; "" where that can't be told.
func (g *Graph) NameIn(ctx context.Context, holder, zoid int64) (string, error) {
	name, err := g.NameOf(ctx, holder, zoid)
	if err != nil || name.Places > 0 && !name.Up && !name.Inner {
		return name.Name, err
	}
	up, err := g.within(ctx, holder, zoid)
	if err != nil || up == nil {
		return "", err
	}
	text := ""
	for i := len(up) - 1; i >= 0; i-- {
		below := zoid
		if i > 0 {
			below = up[i-1]
		}
		name, err := g.NameOf(ctx, up[i], below)
		switch {
		case err != nil:
			return "", err
		case name.Inner:
		case name.Places == 0 || name.Up:
			return "", nil
		default:
			text += name.Name
		}
	}
	return text, nil
}
