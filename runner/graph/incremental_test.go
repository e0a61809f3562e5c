package graph_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/target"
)

// site is a storage that changes step by step.
type site struct {
	t      *testing.T
	conn   *pgx.Conn
	random *rand.Rand
	newest int64
}

// A folder of the site and its pages refer to each other, pages to the next
// one, and some to anywhere.
const pages = 12

func (s *site) folder(zoid, parent int64) packtest.Links {
	l := packtest.Links{zoid: {parent}}
	for i := int64(1); i <= pages; i++ {
		l[zoid] = append(l[zoid], zoid+i)
		l[zoid+i] = []int64{zoid, zoid + i%pages + 1, s.any()}
	}
	s.newest = max(s.newest, zoid+pages)
	return l
}

// any is the zoid of some object, stored or not.
func (s *site) any() int64 { return s.random.Int64N(s.newest + 1) }

func (s *site) some(n int) []int64 {
	found := packtest.Zoids(s.t, s.conn, "SELECT zoid FROM object_state WHERE zoid > 0")
	s.random.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
	return found[:min(n, len(found))]
}

func (s *site) refs(zoid int64) []int64 {
	graph, err := zodbtest.Load(s.t.Context(), s.conn)
	if err != nil {
		s.t.Fatal(err)
	}
	return graph[zoid]
}

// commit bears the highest tid on the root, too, so that it stays with something live.
func (s *site) commit(l packtest.Links) {
	s.t.Helper()
	if _, found := l[0]; !found {
		l[0] = s.refs(0)
	}
	packtest.Commit(s.t, s.conn, l)
}

var changes = []struct {
	name   string
	change func(*site)
}{
	{"objects modified", func(s *site) {
		l := packtest.Links{}
		for _, zoid := range s.some(10) {
			l[zoid] = append(s.refs(zoid), s.any())
		}
		s.commit(l)
	}},
	{"a subtree cut", func(s *site) { s.commit(packtest.Links{0: s.refs(0)[min(2, len(s.refs(0))):]}) }},
	{"folders added", func(s *site) {
		first, second := s.newest+1, s.newest+pages+2
		l := s.folder(first, 0)
		for zoid, refs := range s.folder(second, first) {
			l[zoid] = refs
		}
		l[first+3] = append(l[first+3], second)
		l[0] = append(s.refs(0), first)
		s.commit(l)
	}},
	{"a subtree moved", func(s *site) {
		root := append(s.refs(0), s.any())
		s.newest++
		s.commit(packtest.Links{0: append(slices.Clone(root[1:]), s.newest), s.newest: {root[0]}})
	}},
	{"old garbage attached again", func(s *site) {
		s.commit(packtest.Links{0: append(s.refs(0), packtest.First(packtest.Unreachable(s.t, s.conn))...)})
	}},
	{"objects deleted behind our back", func(s *site) {
		packtest.Run(s.t, s.conn, "DELETE FROM object_state WHERE zoid = ANY ($1)", s.some(5))
	}},
	{"garbage written", func(s *site) {
		l := s.folder(s.newest+1, s.any())
		s.commit(l)
	}},
	{"rows with old tids", func(s *site) {
		for _, zoid := range s.some(6) {
			packtest.Restore(s.t, s.conn, zoid, 1+s.random.Int64N(1000), zodbtest.RecordPy2(zodbtest.Document, s.any(), s.any()))
		}
	}},
	{"rows restored with the tid they had", func(s *site) {
		for _, zoid := range s.some(6) {
			tid := packtest.Get[int64](s.t, s.conn, "SELECT tid FROM object_state WHERE zoid = $1", zoid)
			packtest.Run(s.t, s.conn, "DELETE FROM object_state WHERE zoid = $1", zoid)
			packtest.Restore(s.t, s.conn, zoid, tid, zodbtest.Compressed(zodbtest.Record(zodbtest.Document, s.any())))
		}
	}},
	{"deleted objects stored again", func(s *site) {
		l := packtest.Links{}
		for range 8 {
			l[s.any()] = []int64{s.any(), s.any()}
		}
		delete(l, 0)
		s.commit(l)
	}},
	{"creations undone", func(s *site) {
		records := packtest.Links{0: s.refs(0)}.Records()
		for i, zoid := range s.some(4) {
			records[zoid] = [][]byte{nil, {}}[i%2]
		}
		packtest.CommitRecords(s.t, s.conn, records)
	}},
	{"TRUNCATE and reload", func(s *site) {
		packtest.Run(s.t, s.conn, `BEGIN; CREATE TEMPORARY TABLE dump AS SELECT * FROM object_state;
			TRUNCATE object_state CASCADE;
			INSERT INTO object_state SELECT * FROM dump WHERE zoid = 0 OR zoid % 7 <> 3;
			DROP TABLE dump; COMMIT`)
	}},
	{"a write while triggers are off", func(s *site) {
		packtest.SetTriggers(s.t, s.conn, "DISABLE")
		for _, zoid := range s.some(3) {
			packtest.Restore(s.t, s.conn, zoid, 2000+s.random.Int64N(1000), zodbtest.Record(zodbtest.Document, s.any()))
		}
		packtest.SetTriggers(s.t, s.conn, "ENABLE ALWAYS")
	}},
}

func TestIncrementalEqualsFromScratch(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	s := &site{t: t, conn: conn, random: rand.New(rand.NewPCG(1, 2)), newest: 0}
	l := packtest.Links{0: nil}
	for folder := range int64(15) {
		zoid := 1 + folder*(pages+1)
		for zoid, refs := range s.folder(zoid, 0) {
			l[zoid] = refs
		}
		if folder%3 != 2 {
			l[0] = append(l[0], zoid)
		}
	}
	packtest.Commit(t, conn, l)
	packtest.DryRun(t, target)
	packtest.ExpectExact(t, conn)
	for step := range 3 * len(changes) {
		// Another order in each round.
		c := changes[(step*5+step/len(changes))%len(changes)]
		c.change(s)
		name := fmt.Sprintf("step %d, %s", step, c.name)
		if step%6 == 5 {
			want := packtest.Without(packtest.Stored(t, conn), packtest.Unreachable(t, conn))
			packtest.Pack(t, target, packtest.Everything)
			if giveUpAllMissing(t, target, conn) {
				packtest.Pack(t, target, packtest.Everything)
			}
			packtest.ExpectZoids(t, name+": stored", packtest.Stored(t, conn), want)
		} else {
			packtest.DryRun(t, target)
			giveUpAllMissing(t, target, conn)
		}
		packtest.ExpectExact(t, conn)
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

// giveUpAllMissing gives up what vanished while live objects refer to it, and
// what turns out to be missing then: whether there was anything.
func giveUpAllMissing(t *testing.T, target target.Target, conn *pgx.Conn) (any bool) {
	t.Helper()
	for packtest.Get[bool](t, conn, "SELECT EXISTS (SELECT FROM relpack.missing WHERE NOT accepted)") {
		packtest.GiveUpMissing(t, conn)
		packtest.DryRun(t, target)
		any = true
	}
	return any
}

// A bucket that became too large gives a folder to a new one. All that is in the
// folder refers to it, more of that than a climb looks at.
func TestWhatHangsOnWhatMovesIntoANewBucketIsNotWritten(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	const tree, bucket, folder, split = 10, 50, 100, 900
	l := packtest.Links{0: {tree}, tree: {bucket}, bucket: {folder}}
	for page := int64(folder + 1); page <= folder+200; page++ {
		l[folder] = append(l[folder], page)
		l[page] = []int64{folder}
	}
	packtest.Commit(t, conn, l)
	packtest.DryRun(t, target)
	packtest.ExpectExact(t, conn)
	// Fewer than are in the folder, as if it were large.
	packtest.Run(t, conn, `CREATE OR REPLACE FUNCTION relpack.walk_limits(
		OUT narrow bigint, OUT walk bigint, OUT together bigint,
		OUT climb_inrefs bigint, OUT climb_visits bigint, OUT reshape_share bigint, OUT reshape_least bigint,
		OUT grow_zoids bigint, OUT grow_levels bigint, OUT grow_wide bigint)
		LANGUAGE sql STABLE AS 'SELECT 10, 100, 50000, 64, 1000000, 16, 10000, 67108864, 255, 32'`)
	const written = "SELECT string_agg(xmin::text, ' ' ORDER BY zoid) FROM relpack.object WHERE zoid > $1 AND zoid < $2"
	before := packtest.Get[string](t, conn, written, folder, split)
	packtest.Commit(t, conn, packtest.Links{tree: {bucket, split}, bucket: nil, split: {folder}})
	packtest.DryRun(t, target)
	packtest.ExpectExact(t, conn)
	if parent := packtest.Get[int64](t, conn, "SELECT parent FROM relpack.object WHERE zoid = $1", folder); parent != split {
		t.Errorf("the folder hangs on %d", parent)
	}
	if after := packtest.Get[string](t, conn, written, folder, split); after != before {
		t.Error("pages were written")
	}
}

// What is new refers back to what was cut off at the same time, and hangs on it:
// by itself, or by something else that is new.
func TestACircleClosedByWhatIsNewIsGarbage(t *testing.T) {
	t.Parallel()
	for name, closed := range map[string]packtest.Links{
		"by one":   {3: {60}, 60: {2}},
		"by two":   {3: {60}, 60: {61}, 61: {2}},
		"by three": {3: {60}, 60: {61}, 61: {62}, 62: {2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewStorage(t)
			packtest.Commit(t, conn, packtest.Links{0: {1}, 1: {2}, 2: {3}, 3: nil})
			packtest.DryRun(t, target)
			closed[1] = nil
			packtest.Commit(t, conn, closed)
			packtest.DryRun(t, target)
			packtest.ExpectExact(t, conn)
		})
	}
}
