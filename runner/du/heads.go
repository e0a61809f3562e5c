package du

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"relpack/runner/figures"
	"relpack/runner/inventory"
	"relpack/runner/naming"
	"relpack/runner/pickle/tree"
	"relpack/runner/progress"
	"relpack/runner/record"
)

// A Search finds the heads of garbage: unreachable objects that are in nothing
// unreachable, by the rules of this package. Where the tree of the graph decides for
// live objects, the best of its referrers does for garbage.
type Search struct {
	Conn     *pgx.Conn
	Progress progress.Meter
	// BlobSizes hands on how long some blobs are, as far as that is known; nil: it isn't.
	BlobSizes func(ctx context.Context, zoids, tids []int64, each func(zoid, bytes int64)) error
	States    int // so many are read at most; 0: 20,000
	Objects   int // with more garbage nothing is looked for; 0: a million

	forest Forest
	tx     pgx.Tx
	tids   map[uint32]int64 // of blobs
	known  map[uint32]bool  // blobs whose size is known
}

// So many classes and heads are listed; so many states of a class show whether its
// objects name what they are in; so many objects up a head's name goes.
const (
	listedHeads = 10
	sampled     = 20
	nameSteps   = 20
)

// Find reads what is unreachable. It is nil where there is too much.
func (s *Search) Find(ctx context.Context) (heads *inventory.Heads, err error) {
	if s.Progress == nil {
		s.Progress = progress.Silent{}
	}
	s.States, s.Objects = cmp.Or(s.States, 20_000), cmp.Or(s.Objects, 1_000_000)
	s.forest.rows.limit = memoryPages
	defer s.forest.rows.close()
	s.Progress.Phase("look what was cut off", "objects", 0)
	defer s.Progress.End()
	err = pgx.BeginTxFunc(ctx, s.Conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		s.tx = tx
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '5s'; "+record.LockStorage); err != nil {
			return err
		}
		var few bool
		if err := tx.QueryRow(ctx, "SELECT count(*) <= $1 FROM (SELECT FROM relpack.detached LIMIT $1 + 1) AS few", s.Objects).Scan(&few); err != nil || !few {
			return err
		}
		heads, err = s.find(ctx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look what was cut off: %w", err)
	}
	return heads, nil
}

func (s *Search) find(ctx context.Context) (*inventory.Heads, error) {
	if err := s.readGarbage(ctx); err != nil {
		return nil, err
	}
	guessed, err := s.readNamed(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.choose(ctx, true); err != nil {
		return nil, err
	}
	if err := s.choose(ctx, false); err != nil {
		return nil, err
	}
	f := &s.forest
	f.join()
	f.fold()
	if err := s.measureBlobs(ctx); err != nil {
		return nil, err
	}
	f.add()
	heads := s.heads()
	heads.Guessed = guessed
	for i := range heads.Largest {
		if heads.Largest[i].Name, err = s.name(ctx, heads.Largest[i].Zoid); err != nil {
			return nil, err
		}
	}
	return heads, f.rows.err
}

// readGarbage fills rows. Row 0 stands for all that is not garbage.
func (s *Search) readGarbage(ctx context.Context) error {
	rows, err := s.tx.Query(ctx, "SELECT id, label FROM relpack.class")
	if err != nil {
		return err
	}
	labels := map[int32]string{}
	var id int32
	var label string
	if _, err := pgx.ForEachRow(rows, []any{&id, &label}, func() error { labels[id] = label; return nil }); err != nil {
		return err
	}
	f := &s.forest
	f.kinds = []kind{{}}
	f.rows.add(row{zoid: -1, named: none})
	numbers := map[int32]uint32{}
	s.tids, s.known = map[uint32]int64{}, map[uint32]bool{}
	return record.Rows(ctx, s.Conn, "SELECT detached.zoid, detached.tid, int4send(detached.class) || int4send(detached.size) FROM relpack.detached ORDER BY detached.zoid",
		func(r record.Row) error {
			id := int32(binary.BigEndian.Uint32(r.State))
			class, known := numbers[id]
			if !known {
				class = uint32(len(f.kinds))
				numbers[id] = class
				f.kinds = append(f.kinds, newKind(labels[id]))
				f.kinds[class].blob = id == classBlob
			}
			size := binary.BigEndian.Uint32(r.State[4:])
			if f.kinds[class].blob {
				s.tids[uint32(f.rows.count)] = r.Tid
			}
			f.rows.add(row{zoid: r.Zoid, bytes: int64(size), size: size, named: none, class: class, objects: 1})
			return f.rows.err
		})
}

// readNamed reads what objects name, of those classes first of which there are few: of
// folders before documents before comments. It returns how many were left out.
func (s *Search) readNamed(ctx context.Context) (left int64, err error) {
	f := &s.forest
	quota, counts := make([]int, len(f.kinds)), make([]int, len(f.kinds))
	for i := range quota {
		if kind := f.kinds[i]; !kind.part && !kind.blob {
			quota[i] = sampled
		}
	}
	for i := uint32(1); i < uint32(f.rows.count); i++ {
		counts[f.rows.get(i).class]++
	}
	naming, err := s.readSome(ctx, quota, nil)
	if err != nil {
		return 0, err
	}
	var order []int
	for class := range quota {
		if quota[class] > 0 && counts[class] > sampled && naming[class] {
			order = append(order, class)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(counts[a], counts[b]) })
	first := slices.Clone(quota)
	clear(quota)
	for _, class := range order {
		quota[class] = min(counts[class]-sampled, s.States)
		s.States -= quota[class]
		left += int64(counts[class] - sampled - quota[class])
	}
	_, err = s.readSome(ctx, quota, first)
	return left, err
}

// readSome reads so many states of each class, after those that were read before, and
// tells of which classes one names what it is in.
func (s *Search) readSome(ctx context.Context, quota, before []int) ([]bool, error) {
	f := &s.forest
	naming, taken := make([]bool, len(quota)), make([]int, len(quota))
	var some []int64
	for i := uint32(1); i < uint32(f.rows.count); i++ {
		x := f.rows.get(i)
		class, skip := x.class, 0
		if before != nil {
			skip = before[class]
		}
		if taken[class]++; taken[class] > skip && taken[class] <= skip+quota[class] {
			some = append(some, x.zoid)
		}
		if len(some) == askedAtOnce || int(i) == f.rows.count-1 && len(some) > 0 {
			if err := s.readStates(ctx, some, naming); err != nil {
				return nil, err
			}
			s.Progress.Add(int64(len(some)))
			some = some[:0]
		}
	}
	return naming, nil
}

func (s *Search) readStates(ctx context.Context, zoids []int64, naming []bool) error {
	f := &s.forest
	outside := map[int64][]uint32{} // live, or not stored
	holders := record.NewHolders(func(zoid, holder int64) error {
		if zoid == holder {
			return nil
		}
		i, in := f.rows.find(zoid), f.rows.find(holder)
		naming[f.rows.get(i).class] = true
		if in == none {
			outside[holder] = append(outside[holder], i)
			return nil
		}
		f.rows.ref(i).named = in
		return nil
	})
	if err := holders.Query(ctx, s.Conn, fmt.Sprintf(`SELECT wanted.zoid, stored.tid, stored.state
		FROM unnest(ARRAY[%s]::bigint[]) AS wanted (zoid)
		CROSS JOIN LATERAL (SELECT tid, state FROM relpack.stored() WHERE stored.zoid = wanted.zoid ORDER BY tid DESC LIMIT 1) AS stored`, joined(zoids))); err != nil {
		return err
	}
	var asked []int64
	for zoid := range outside {
		asked = append(asked, zoid)
	}
	rows, err := s.tx.Query(ctx, `SELECT wanted.zoid FROM unnest($1::bigint[]) AS wanted (zoid)
		WHERE EXISTS (SELECT FROM relpack.object WHERE object.zoid = wanted.zoid AND object.parent IS NOT NULL OFFSET 0)`, asked)
	if err != nil {
		return err
	}
	var live int64
	_, err = pgx.ForEachRow(rows, []any{&live}, func() error {
		for _, i := range outside[live] {
			f.rows.ref(i).named = 0
		}
		return nil
	})
	return err
}

func joined(zoids []int64) string {
	texts := make([]string, len(zoids))
	for i, zoid := range zoids {
		texts[i] = strconv.FormatInt(zoid, 10)
	}
	return strings.Join(texts, ",")
}

// choose takes the best referrer of what names nothing: parts of BTrees first, whose
// owners tell how good they are.
func (s *Search) choose(ctx context.Context, parts bool) error {
	f := &s.forest
	var some []int64
	for i := uint32(1); i < uint32(f.rows.count); i++ {
		if x := f.rows.get(i); x.named == none && f.kinds[x.class].part == parts {
			some = append(some, x.zoid)
		}
		if len(some) < askedAtOnce && int(i) < f.rows.count-1 || len(some) == 0 {
			continue
		}
		best, err := f.bestReferrers(ctx, s.eachReferrer, some)
		if err != nil {
			return err
		}
		for zoid, in := range best {
			f.rows.ref(f.rows.find(zoid)).in = in
		}
		s.Progress.Add(int64(len(some)))
		some = some[:0]
	}
	return nil
}

func (s *Search) eachReferrer(ctx context.Context, zoids []int64, most int, each func(zoid, from int64)) error {
	rows, err := s.tx.Query(ctx, `
		SELECT target.zoid, edge.inref
		FROM unnest($1::bigint[]) AS target (zoid)
		CROSS JOIN LATERAL (
		    SELECT object_inref.inref FROM relpack.object_inref WHERE object_inref.zoid = target.zoid ORDER BY object_inref.inref LIMIT $2
		) AS edge`, zoids, most)
	if err != nil {
		return err
	}
	var zoid, from int64
	_, err = pgx.ForEachRow(rows, []any{&zoid, &from}, func() error { each(zoid, from); return nil })
	return err
}

// measuredBlobs is of how many blobs it is looked how long they are.
const measuredBlobs = 100_000

func (s *Search) measureBlobs(ctx context.Context) error {
	if s.BlobSizes == nil || len(s.tids) > measuredBlobs {
		return nil
	}
	all := slices.Sorted(maps.Keys(s.tids))
	for some := range slices.Chunk(all, askedAtOnce) {
		var zoids, tids []int64
		for _, i := range some {
			zoids, tids = append(zoids, s.forest.rows.get(i).zoid), append(tids, s.tids[i])
		}
		if err := s.BlobSizes(ctx, zoids, tids, func(zoid, bytes int64) {
			if i := s.forest.rows.find(zoid); i != none {
				s.forest.rows.ref(i).blobs = bytes
				s.known[i] = true
			}
		}); err != nil {
			return err
		}
	}
	return nil
}

// heads lists what is in nothing.
func (s *Search) heads() *inventory.Heads {
	f := &s.forest
	blobs, known := s.blobsIn()
	found := &inventory.Heads{Classes: []inventory.HeadClass{}, Largest: []inventory.Head{}}
	classes := map[uint32]*inventory.HeadClass{}
	for i := uint32(1); i < uint32(f.rows.count); i++ {
		x := *f.rows.get(i)
		if x.in != 0 {
			continue
		}
		hanging := inventory.Hanging{Count: figures.Count{Objects: int64(x.objects), Bytes: x.bytes}, Blobs: blobs[i]}
		if known[i] > 0 {
			hanging.BlobBytes = &x.blobs
		}
		c := classes[x.class]
		if c == nil {
			c = &inventory.HeadClass{Class: f.kinds[x.class].label}
			classes[x.class] = c
		}
		c.Heads++
		c.Add(hanging)
		if found.Largest = append(found.Largest, inventory.Head{Zoid: x.zoid, Class: c.Class, Hanging: hanging}); len(found.Largest) > 1000 {
			found.Largest = largest(found.Largest)
		}
	}
	found.Largest = largest(found.Largest)
	for _, c := range classes {
		found.Classes = append(found.Classes, *c)
	}
	slices.SortFunc(found.Classes, func(a, b inventory.HeadClass) int {
		if naming.IsBTree(a.Class) != naming.IsBTree(b.Class) {
			return map[bool]int{true: 1, false: -1}[naming.IsBTree(a.Class)]
		}
		return cmp.Or(cmp.Compare(b.Size(), a.Size()), cmp.Compare(a.Class, b.Class))
	})
	if len(found.Classes) > listedHeads {
		found.Others = &inventory.HeadClass{}
		for _, c := range found.Classes[listedHeads:] {
			found.Others.Heads += c.Heads
			found.Others.Add(c.Hanging)
		}
		found.Classes = found.Classes[:listedHeads]
	}
	return found
}

func largest(heads []inventory.Head) []inventory.Head {
	slices.SortFunc(heads, func(a, b inventory.Head) int {
		return cmp.Or(cmp.Compare(b.Size(), a.Size()), cmp.Compare(a.Zoid, b.Zoid))
	})
	return heads[:min(listedHeads, len(heads))]
}

// blobsIn counts blobs by the head that they are in, and those whose size is known.
func (s *Search) blobsIn() (count, known map[uint32]int64) {
	count, known = map[uint32]int64{}, map[uint32]int64{}
	for blob := range s.tids {
		i := blob
		for s.forest.rows.get(i).in != 0 {
			i = s.forest.rows.get(i).in
		}
		if count[i]++; s.known[blob] {
			known[i]++
		}
	}
	return count, known
}

// name is by what the application knew an object: ids, as far up as there are any.
func (s *Search) name(ctx context.Context, zoid int64) (string, error) {
	var parts []string
	met := map[int64]bool{}
	for range nameSteps {
		if met[zoid] {
			break
		}
		met[zoid] = true
		var state []byte
		if err := s.tx.QueryRow(ctx, `SELECT coalesce((SELECT CASE WHEN octet_length(state) < 1000000 THEN state END
			FROM relpack.stored() WHERE zoid = $1 ORDER BY tid DESC LIMIT 1), '')`, zoid).
			Scan(&state); err != nil {
			return "", err
		}
		r, _ := tree.Read(state)
		id := textOf(r, "id")
		if id == "" {
			id = textOf(r, "__name__")
		}
		if id == "" {
			break
		}
		parts = append(parts, id)
		n := naming.Attribute(r, "__parent__")
		if n == nil || n.Kind != tree.Ref {
			break
		}
		zoid = n.Int
	}
	slices.Reverse(parts)
	return strings.Join(parts, "/"), nil
}

// textOf is an attribute that is a text, in one line; "" if it is none.
func textOf(r tree.Record, name string) string {
	n := naming.Attribute(r, name)
	if n == nil || n.Kind != tree.Text && n.Kind != tree.Bytes {
		return ""
	}
	return strings.Map(func(c rune) rune {
		if !strconv.IsPrint(c) || c == utf8.RuneError {
			return '?'
		}
		return c
	}, string(n.Text[:min(len(n.Text), longestID)]))
}

// longestID is how many bytes of an id are shown.
const longestID = 100
