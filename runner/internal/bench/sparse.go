package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/jackc/pgx/v5"

	"relpack/runner/pickle"
)

// sparse is a first pack of a copy of the site whose zoids are spread up to 2^40,
// as those of a site that threw many away.
func (b *bench) sparse(ctx context.Context) (first *packed, err error) {
	step("zoids up to 2^40, first pack")
	err = b.onCopy(ctx, func(dsn string) error {
		if err := connected(ctx, b.dsn, func(from *pgx.Conn) error {
			return connected(ctx, dsn, func(to *pgx.Conn) error { return copySpread(ctx, from, to) })
		}); err != nil {
			return fmt.Errorf("spread the zoids: %w", err)
		}
		if _, err := b.program(ctx, "migrate", "up", "--dsn", dsn, "--quiet"); err != nil {
			return err
		}
		if err := ready(ctx, dsn); err != nil {
			return err
		}
		first, err = b.pack(ctx, dsn, "--dry-run")
		return err
	})
	return first, err
}

// copySpread replaces the objects of a database by those of another one, with zoids
// that are so many times as high.
func copySpread(ctx context.Context, from, to *pgx.Conn) error {
	var highest int64
	if err := from.QueryRow(ctx, "SELECT max(zoid) FROM object_state").Scan(&highest); err != nil {
		return err
	}
	factor := (int64(1) << 40) / max(highest, 1)
	if _, err := to.Exec(ctx, "TRUNCATE object_state CASCADE"); err != nil {
		return err
	}
	rows, err := from.Query(ctx, "SELECT zoid, tid, state FROM object_state ORDER BY ctid")
	if err != nil {
		return err
	}
	defer rows.Close()
	var scanner pickle.Scanner
	if _, err := to.CopyFrom(ctx, pgx.Identifier{"object_state"}, []string{"zoid", "tid", "state_size", "state"},
		pgx.CopyFromFunc(func() ([]any, error) {
			if !rows.Next() {
				return nil, rows.Err()
			}
			var zoid, tid int64
			var state []byte
			if err := rows.Scan(&zoid, &tid, &state); err != nil {
				return nil, err
			}
			if err := multiplyRefs(&scanner, state, factor); err != nil {
				return nil, fmt.Errorf("object %d: %w", zoid, err)
			}
			return []any{zoid * factor, tid, len(state), state}, nil
		})); err != nil {
		return err
	}
	_, err = to.Exec(ctx, "VACUUM ANALYZE object_state")
	return err
}

// multiplyRefs makes a record refer to zoids that are so many times as high. It is
// changed in place: a zoid is a string of eight bytes wherever it stands.
func multiplyRefs(scanner *pickle.Scanner, record []byte, factor int64) error {
	if err := scanner.Scan(record); err != nil {
		return err
	}
	refs := map[uint64]bool{}
	for _, ref := range scanner.Refs() {
		refs[uint64(ref)] = true
	}
	for at := 0; at+10 <= len(record); at++ {
		// SHORT_BINBYTES and SHORT_BINSTRING, and the length.
		if !bytes.HasPrefix(record[at:], []byte("C\x08")) && !bytes.HasPrefix(record[at:], []byte("U\x08")) {
			continue
		}
		oid := record[at+2 : at+10]
		if zoid := binary.BigEndian.Uint64(oid); refs[zoid] {
			binary.BigEndian.PutUint64(oid, zoid*uint64(factor))
			at += 9
		}
	}
	return nil
}

// addSparse compares the two first packs. Both have the same graph.
func (b *bench) addSparse(sparse, dense *packed) error {
	if sparse.References != dense.References || sparse.Unreachable.Objects != dense.Unreachable.Objects {
		return fmt.Errorf("spreading the zoids has made another graph: %d references and %d unreachable objects, not %d and %d",
			sparse.References, sparse.Unreachable.Objects, dense.References, dense.Unreachable.Objects)
	}
	const name = "first pack, zoids up to 2^40"
	b.add(figure{Name: name, Value: sparse.Seconds, Unit: "s", Note: sparse.phases()})
	for _, of := range []struct {
		what          string
		sparse, dense float64
		unit          string
	}{
		{"time", sparse.Seconds, dense.Seconds, "s"},
		{"memory of the client", float64(sparse.client), float64(dense.client), "B"},
		{"memory of a session", float64(sparse.memory.one), float64(dense.memory.one), "B"},
	} {
		b.add(figure{Name: name + " / dense: " + of.what, Value: ratio(of.sparse, of.dense), Unit: "x", Must: 1.5,
			Note: fmt.Sprintf("%s and %s", quantity(of.sparse, of.unit), quantity(of.dense, of.unit))})
	}
	return nil
}
