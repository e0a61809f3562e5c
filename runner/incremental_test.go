package runner

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

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

func (s *site) folder(zoid, parent int64) links {
	l := links{zoid: {parent}}
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
	found := zoids(s.t, s.conn, "SELECT zoid FROM object_state WHERE zoid > 0")
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
func (s *site) commit(l links) {
	s.t.Helper()
	if _, found := l[0]; !found {
		l[0] = s.refs(0)
	}
	commit(s.t, s.conn, l)
}

var changes = []struct {
	name   string
	change func(*site)
}{
	{"objects modified", func(s *site) {
		l := links{}
		for _, zoid := range s.some(10) {
			l[zoid] = append(s.refs(zoid), s.any())
		}
		s.commit(l)
	}},
	{"a subtree cut", func(s *site) { s.commit(links{0: s.refs(0)[min(2, len(s.refs(0))):]}) }},
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
		s.commit(links{0: append(slices.Clone(root[1:]), s.newest), s.newest: {root[0]}})
	}},
	{"old garbage attached again", func(s *site) {
		s.commit(links{0: append(s.refs(0), first(unreachable(s.t, s.conn))...)})
	}},
	{"objects deleted behind our back", func(s *site) {
		run(s.t, s.conn, "DELETE FROM object_state WHERE zoid = ANY ($1)", s.some(5))
	}},
	{"garbage written", func(s *site) {
		l := s.folder(s.newest+1, s.any())
		s.commit(l)
	}},
	{"rows with old tids", func(s *site) {
		for _, zoid := range s.some(6) {
			restore(s.t, s.conn, zoid, 1+s.random.Int64N(1000), zodbtest.RecordPy2(zodbtest.Document, s.any(), s.any()))
		}
	}},
	{"rows restored with the tid they had", func(s *site) {
		for _, zoid := range s.some(6) {
			tid := get[int64](s.t, s.conn, "SELECT tid FROM object_state WHERE zoid = $1", zoid)
			run(s.t, s.conn, "DELETE FROM object_state WHERE zoid = $1", zoid)
			restore(s.t, s.conn, zoid, tid, zodbtest.Compressed(zodbtest.Record(zodbtest.Document, s.any())))
		}
	}},
	{"deleted objects stored again", func(s *site) {
		l := links{}
		for range 8 {
			l[s.any()] = []int64{s.any(), s.any()}
		}
		delete(l, 0)
		s.commit(l)
	}},
	{"creations undone", func(s *site) {
		records := links{0: s.refs(0)}.records()
		for i, zoid := range s.some(4) {
			records[zoid] = [][]byte{nil, {}}[i%2]
		}
		commitRecords(s.t, s.conn, records)
	}},
	{"TRUNCATE and reload", func(s *site) {
		run(s.t, s.conn, `BEGIN; CREATE TEMPORARY TABLE dump AS SELECT * FROM object_state;
			TRUNCATE object_state CASCADE;
			INSERT INTO object_state SELECT * FROM dump WHERE zoid = 0 OR zoid % 7 <> 3;
			DROP TABLE dump; COMMIT`)
	}},
	{"a write while triggers are off", func(s *site) {
		setTriggers(s.t, s.conn, "DISABLE")
		for _, zoid := range s.some(3) {
			restore(s.t, s.conn, zoid, 2000+s.random.Int64N(1000), zodbtest.Record(zodbtest.Document, s.any()))
		}
		setTriggers(s.t, s.conn, "ENABLE ALWAYS")
	}},
}

func TestIncrementalEqualsFromScratch(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	s := &site{t: t, conn: conn, random: rand.New(rand.NewPCG(1, 2)), newest: 0}
	l := links{0: nil}
	for folder := range int64(15) {
		zoid := 1 + folder*(pages+1)
		for zoid, refs := range s.folder(zoid, 0) {
			l[zoid] = refs
		}
		if folder%3 != 2 {
			l[0] = append(l[0], zoid)
		}
	}
	commit(t, conn, l)
	dryRun(t, target)
	expectExact(t, conn)
	for step := range 3 * len(changes) {
		// Another order in each round.
		c := changes[(step*5+step/len(changes))%len(changes)]
		c.change(s)
		name := fmt.Sprintf("step %d, %s", step, c.name)
		if step%6 == 5 {
			want := without(stored(t, conn), unreachable(t, conn))
			packStorage(t, target, everything)
			if giveUpAllMissing(t, target, conn) {
				packStorage(t, target, everything)
			}
			expectZoids(t, name+": stored", stored(t, conn), want)
		} else {
			dryRun(t, target)
			giveUpAllMissing(t, target, conn)
		}
		expectExact(t, conn)
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

// giveUpAllMissing gives up what vanished while live objects refer to it, and
// what turns out to be missing then: whether there was anything.
func giveUpAllMissing(t *testing.T, target target.Target, conn *pgx.Conn) (any bool) {
	t.Helper()
	for get[bool](t, conn, "SELECT EXISTS (SELECT FROM relpack.missing WHERE NOT accepted)") {
		giveUpMissing(t, conn)
		dryRun(t, target)
		any = true
	}
	return any
}

// A bucket that became too large gives a folder to a new one. All that is in the
// folder refers to it, more of that than a climb looks at.
func TestWhatHangsOnWhatMovesIntoANewBucketIsNotWritten(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	const tree, bucket, folder, split = 10, 50, 100, 900
	l := links{0: {tree}, tree: {bucket}, bucket: {folder}}
	for page := int64(folder + 1); page <= folder+200; page++ {
		l[folder] = append(l[folder], page)
		l[page] = []int64{folder}
	}
	commit(t, conn, l)
	dryRun(t, target)
	expectExact(t, conn)
	// Fewer than are in the folder, as if it were large.
	run(t, conn, `CREATE OR REPLACE FUNCTION relpack.walk_limits(
		OUT narrow bigint, OUT walk bigint, OUT together bigint,
		OUT climb_inrefs bigint, OUT climb_visits bigint, OUT reshape_share bigint, OUT reshape_least bigint,
		OUT grow_zoids bigint, OUT grow_levels bigint, OUT grow_wide bigint)
		LANGUAGE sql STABLE AS 'SELECT 10, 100, 50000, 64, 1000000, 16, 10000, 67108864, 255, 32'`)
	const written = "SELECT string_agg(xmin::text, ' ' ORDER BY zoid) FROM relpack.object WHERE zoid > $1 AND zoid < $2"
	before := get[string](t, conn, written, folder, split)
	commit(t, conn, links{tree: {bucket, split}, bucket: nil, split: {folder}})
	dryRun(t, target)
	expectExact(t, conn)
	if parent := get[int64](t, conn, "SELECT parent FROM relpack.object WHERE zoid = $1", folder); parent != split {
		t.Errorf("the folder hangs on %d", parent)
	}
	if after := get[string](t, conn, written, folder, split); after != before {
		t.Error("pages were written")
	}
}

// What is new refers back to what was cut off at the same time, and hangs on it:
// by itself, or by something else that is new.
func TestACircleClosedByWhatIsNewIsGarbage(t *testing.T) {
	t.Parallel()
	for name, closed := range map[string]links{
		"by one":   {3: {60}, 60: {2}},
		"by two":   {3: {60}, 60: {61}, 61: {2}},
		"by three": {3: {60}, 60: {61}, 61: {62}, 62: {2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := newStorage(t)
			commit(t, conn, links{0: {1}, 1: {2}, 2: {3}, 3: nil})
			dryRun(t, target)
			closed[1] = nil
			commit(t, conn, closed)
			dryRun(t, target)
			expectExact(t, conn)
		})
	}
}
