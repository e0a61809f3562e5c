package revision

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
)

// A Key names a revision.
type Key struct{ Zoid, Tid int64 }

// A Revision is a row of object_state.
type Revision struct {
	Zoid, Tid, PrevTid int64
	Size               int64
	State              []byte // nil: a whiteout, or an undone creation
}

// A Storage is all of a history-preserving storage.
type Storage struct {
	Revisions map[int64][]Revision // by zoid, the oldest first
	Packed    map[int64]bool       // by tid, of all transactions
	Current   map[int64]int64      // current_object
	Chunks    map[Key][]uint32     // large objects of blobs
	Unlinked  []uint32             // of these, those that are gone
}

// Load reads a storage.
func Load(ctx context.Context, conn *pgx.Conn) (*Storage, error) {
	s := &Storage{map[int64][]Revision{}, map[int64]bool{}, map[int64]int64{}, map[Key][]uint32{}, nil}
	var (
		r                   Revision
		packed, there       bool
		chunk               uint32
		zoid, tid, transact int64
	)
	for _, read := range []struct {
		sql    string
		into   []any
		remark func()
	}{
		{"SELECT zoid, tid, prev_tid, state_size, state FROM object_state ORDER BY zoid, tid",
			[]any{&r.Zoid, &r.Tid, &r.PrevTid, &r.Size, &r.State},
			func() { r.State = slices.Clone(r.State); s.Revisions[r.Zoid] = append(s.Revisions[r.Zoid], r) }},
		{"SELECT tid, packed FROM transaction", []any{&transact, &packed}, func() { s.Packed[transact] = packed }},
		{"SELECT zoid, tid FROM current_object", []any{&zoid, &tid}, func() { s.Current[zoid] = tid }},
		{`SELECT zoid, tid, chunk, EXISTS (SELECT FROM pg_largeobject_metadata WHERE oid = chunk)
		  FROM blob_chunk ORDER BY zoid, tid, chunk_num`, []any{&zoid, &tid, &chunk, &there}, func() {
			s.Chunks[Key{zoid, tid}] = append(s.Chunks[Key{zoid, tid}], chunk)
			if !there {
				s.Unlinked = append(s.Unlinked, chunk)
			}
		}},
	} {
		rows, err := conn.Query(ctx, read.sql)
		if err != nil {
			return nil, fmt.Errorf("read a storage: %w", err)
		}
		if _, err := pgx.ForEachRow(rows, read.into, func() error { read.remark(); return nil }); err != nil {
			return nil, fmt.Errorf("read a storage: %w", err)
		}
	}
	return s, nil
}

// Zoids are the objects that are stored, in ascending order.
func (s *Storage) Zoids() []int64 { return slices.Sorted(maps.Keys(s.Revisions)) }

// Keys are all revisions, in ascending order.
func (s *Storage) Keys() []Key {
	var keys []Key
	for zoid, revisions := range s.Revisions {
		for _, r := range revisions {
			keys = append(keys, Key{zoid, r.Tid})
		}
	}
	slices.SortFunc(keys, Key.compare)
	return keys
}

func (k Key) compare(other Key) int {
	return cmp.Or(cmp.Compare(k.Zoid, other.Zoid), cmp.Compare(k.Tid, other.Tid))
}

// At is the revision of an object that somebody sees who looks at the storage as it
// was after the transaction tid.
func (s *Storage) At(zoid, tid int64) (Revision, bool) {
	return newest(s.Revisions[zoid], tid)
}

func newest(revisions []Revision, until int64) (found Revision, ok bool) {
	for _, r := range revisions {
		if r.Tid <= until {
			found, ok = r, true
		}
	}
	return found, ok
}

// SetBack tells whether current_object does not name the newest revision of an
// object: whoever restored it knows why.
func (s *Storage) SetBack(zoid int64) bool {
	revisions := s.Revisions[zoid]
	current, known := s.Current[zoid]
	return !known || current != revisions[len(revisions)-1].Tid
}
