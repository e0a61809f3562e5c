package pack_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/target"
)

// killAt kills a pack when it comes to write to a table: a lock of ours holds
// it there. False when it ended without doing so.
func killAt(t *testing.T, program string, target target.Target, conn *pgx.Conn, table string) bool {
	t.Helper()
	tx, err := packtest.Session(t, target).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "LOCK TABLE "+table+" IN EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	p := packtest.StartPack(t, program, target)
	held := false
	packtest.Until(t, "relpack comes to "+table+" or ends", func() bool {
		select {
		case err := <-p.Ended:
			p.Ended <- err
			return true
		default:
		}
		held = packtest.Get[bool](t, conn, `SELECT EXISTS (SELECT FROM pg_locks WHERE relation = $1::text::regclass AND NOT granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`, table)
		return held
	})
	_ = p.Cmd.Process.Kill()
	<-p.Ended
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	packtest.UntilGone(t, conn)
	return held
}

// Where a pack is killed: the tables in the order in which it writes to them.
var killPlaces = []string{
	"relpack.staged_object", "relpack.object_inref", "relpack.scan_range", "relpack.reached",
	"relpack.fill_range", "relpack.object", "relpack.pending", "relpack.examined_object", "relpack.suspect",
	"relpack.spared", "relpack.doomed", "object_state", "relpack.blob_removal",
}

func TestAPackThatIsKilledIsFinishedByTheNext(t *testing.T) {
	t.Parallel()
	program := packtest.BuildCommand(t)
	for name, killed := range map[string]func(*testing.T, string){
		"wherever it writes": killedAnywhere, "at any time": killedAtAnyTime, "between two batches": killedBetweenTwoBatches,
		"on the sample": killedOnTheSample,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			killed(t, program)
		})
	}
}

func killedAnywhere(t *testing.T, program string) {
	target, conn := packtest.NewTown(t)
	want := packtest.Without(packtest.Stored(t, conn), packtest.Unreachable(t, conn))
	// To begin a build takes a lock on all of these tables at once.
	killAt(t, program, target, conn, "relpack.staged_object")
	packtest.Run(t, conn, "SELECT relpack.try_pack_lock(), relpack.build_reset(), relpack.build_begin()")
	packtest.Run(t, conn, "SELECT relpack.release_pack_lock()")
	for _, place := range killPlaces {
		if place == "relpack.pending" {
			// From here on a pack only writes where something has changed.
			graph, err := zodbtest.Load(t.Context(), conn)
			if err != nil {
				t.Fatal(err)
			}
			const added = 20_000
			packtest.Commit(t, conn, packtest.Links{0: append(graph[0], added), added: nil})
			want = append(want, added)
		}
		if !killAt(t, program, target, conn, place) {
			t.Errorf("%s: the pack ended without writing to it", place)
		}
		if lost := packtest.Without(want, packtest.Stored(t, conn)); len(lost) > 0 {
			t.Fatalf("killed at %s: live objects are gone: %v", place, packtest.First(lost))
		}
	}
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, want...)
	packtest.ExpectExact(t, conn)
}

func killedAtAnyTime(t *testing.T, program string) {
	target, conn := packtest.NewTown(t)
	want := packtest.Without(packtest.Stored(t, conn), packtest.Unreachable(t, conn))
	random := rand.New(rand.NewPCG(5, 6))
	for range 8 {
		p := packtest.StartPack(t, program, target)
		select {
		case <-time.After(time.Duration(50+random.IntN(400)) * time.Millisecond):
			p.Kill(conn)
		case err := <-p.Ended:
			if err != nil {
				t.Fatalf("pack: %v\n%s", err, &p.Output)
			}
		}
		if lost := packtest.Without(want, packtest.Stored(t, conn)); len(lost) > 0 {
			t.Fatalf("live objects are gone: %v", packtest.First(lost))
		}
	}
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, want...)
	packtest.ExpectExact(t, conn)
}

func killedBetweenTwoBatches(t *testing.T, program string) {
	target, conn := packtest.NewTown(t)
	want := packtest.Without(packtest.Stored(t, conn), packtest.Unreachable(t, conn))
	all := len(packtest.Stored(t, conn))
	p := packtest.StartPack(t, program, target)
	packtest.Until(t, "a batch is gone", func() bool {
		return packtest.Get[int](t, conn, "SELECT count(*) FROM object_state") < all
	})
	p.Kill(conn)
	if n := len(packtest.Stored(t, conn)); n == len(want) {
		t.Log("it was done before it was killed")
	}
	packtest.ExpectNothingDangles(t, conn)
	// The site goes on, and takes up garbage again.
	back := packtest.Get[int64](t, conn, "SELECT coalesce(max(zoid), 0) FROM object_state WHERE zoid <> ALL ($1)", want)
	if back > 0 {
		graph, err := zodbtest.Load(t.Context(), conn)
		if err != nil {
			t.Fatal(err)
		}
		packtest.Commit(t, conn, packtest.Links{0: append(graph[0], back)})
		want = packtest.Without(packtest.Stored(t, conn), packtest.Unreachable(t, conn))
	}
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, want...)
	packtest.ExpectExact(t, conn)
}
