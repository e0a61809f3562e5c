package runner

import (
	"bytes"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/internal/zodbtest"
	"relpack/runner/target"
)

// buildCommand builds the command, for the subtests of a test.
func buildCommand(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "relpack")
	out, err := exec.Command("go", "build", "-buildvcs=false", "-o", path, "relpack/cmd/relpack").CombinedOutput()
	if err != nil {
		t.Fatalf("build relpack: %v\n%s", err, out)
	}
	return path
}

// A process is "relpack pack --days -1" on a storage.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	output bytes.Buffer
	ended  chan error
}

func startPack(t *testing.T, program string, target target.Target) *process {
	t.Helper()
	args := []string{"pack", "--days", "-1", "--dsn", target.DSN}
	if target.BlobDir != "" {
		args = append(args, "--blob-dir", target.BlobDir)
	}
	p := &process{t: t, cmd: exec.Command(program, args...), ended: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	return p
}

// kill ends the process as the machine would that runs out of memory, and
// waits until the server has noticed.
func (p *process) kill(conn *pgx.Conn) {
	p.t.Helper()
	_ = p.cmd.Process.Kill()
	<-p.ended
	relpackGone(p.t, conn)
}

func relpackGone(t testing.TB, conn *pgx.Conn) {
	t.Helper()
	until(t, "the sessions of a killed pack are gone", func() bool {
		return get[int](t, conn, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name LIKE 'relpack %'`) == 0
	})
}

// killAt kills a pack when it comes to write to a table: a lock of ours holds
// it there. False when it ended without doing so.
func killAt(t *testing.T, program string, target target.Target, conn *pgx.Conn, table string) bool {
	t.Helper()
	tx, err := sessionOn(t, target).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "LOCK TABLE "+table+" IN EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	p := startPack(t, program, target)
	held := false
	until(t, "relpack comes to "+table+" or ends", func() bool {
		select {
		case err := <-p.ended:
			p.ended <- err
			return true
		default:
		}
		held = get[bool](t, conn, `SELECT EXISTS (SELECT FROM pg_locks WHERE relation = $1::text::regclass AND NOT granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`, table)
		return held
	})
	_ = p.cmd.Process.Kill()
	<-p.ended
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	relpackGone(t, conn)
	return held
}

// Where a pack is killed: the tables in the order in which it writes to them.
var killPlaces = []string{
	"relpack.staged_object", "relpack.object_inref", "relpack.scan_range", "relpack.reached",
	"relpack.fill_range", "relpack.object", "relpack.pending", "relpack.examined_object", "relpack.suspect",
	"relpack.spared", "relpack.doomed", "object_state", "relpack.blob_removal",
}

// newTown is a storage of some 12,000 objects, a good part of them garbage in
// trees, chains and cycles.
func newTown(t *testing.T) (target.Target, *pgx.Conn) {
	t.Helper()
	target, conn := newStorage(t)
	random := rand.New(rand.NewPCG(3, 4))
	l := links{0: nil}
	for zoid := int64(1); zoid < 12_000; zoid++ {
		quarter := zoid / 1000 * 1000
		up := quarter + random.Int64N(zoid-quarter+1)
		if zoid == quarter {
			if quarter%3000 != 1000 {
				l[0] = append(l[0], zoid)
			}
			continue
		}
		// Mostly down its own quarter, and back; live quarters refer to dead ones never.
		l[up] = append(l[up], zoid)
		l[zoid] = append(l[zoid], up)
		if quarter%3000 == 1000 {
			l[zoid] = append(l[zoid], random.Int64N(zoid))
		}
	}
	load(t, conn, l)
	commit(t, conn, links{0: l[0]})
	// Ranges so small that there are many.
	definition := get[string](t, conn, "SELECT pg_get_functiondef('relpack.build_begin(integer)'::regprocedure)")
	run(t, conn, strings.Replace(definition, "DEFAULT 2048", "DEFAULT 16", 1))
	return target, conn
}

func TestAPackThatIsKilledIsFinishedByTheNext(t *testing.T) {
	t.Parallel()
	program := buildCommand(t)
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
	target, conn := newTown(t)
	want := without(stored(t, conn), unreachable(t, conn))
	// To begin a build takes a lock on all of these tables at once.
	killAt(t, program, target, conn, "relpack.staged_object")
	run(t, conn, "SELECT relpack.try_pack_lock(), relpack.build_reset(), relpack.build_begin()")
	run(t, conn, "SELECT relpack.release_pack_lock()")
	for _, place := range killPlaces {
		if place == "relpack.pending" {
			// From here on a pack only writes where something has changed.
			graph, err := zodbtest.Load(t.Context(), conn)
			if err != nil {
				t.Fatal(err)
			}
			const added = 20_000
			commit(t, conn, links{0: append(graph[0], added), added: nil})
			want = append(want, added)
		}
		if !killAt(t, program, target, conn, place) {
			t.Errorf("%s: the pack ended without writing to it", place)
		}
		if lost := without(want, stored(t, conn)); len(lost) > 0 {
			t.Fatalf("killed at %s: live objects are gone: %v", place, first(lost))
		}
	}
	packStorage(t, target, everything)
	expectStored(t, conn, want...)
	expectExact(t, conn)
}

func killedAtAnyTime(t *testing.T, program string) {
	target, conn := newTown(t)
	want := without(stored(t, conn), unreachable(t, conn))
	random := rand.New(rand.NewPCG(5, 6))
	for range 8 {
		p := startPack(t, program, target)
		select {
		case <-time.After(time.Duration(50+random.IntN(400)) * time.Millisecond):
			p.kill(conn)
		case err := <-p.ended:
			if err != nil {
				t.Fatalf("pack: %v\n%s", err, &p.output)
			}
		}
		if lost := without(want, stored(t, conn)); len(lost) > 0 {
			t.Fatalf("live objects are gone: %v", first(lost))
		}
	}
	packStorage(t, target, everything)
	expectStored(t, conn, want...)
	expectExact(t, conn)
}

func killedBetweenTwoBatches(t *testing.T, program string) {
	target, conn := newTown(t)
	want := without(stored(t, conn), unreachable(t, conn))
	all := len(stored(t, conn))
	p := startPack(t, program, target)
	until(t, "a batch is gone", func() bool {
		return get[int](t, conn, "SELECT count(*) FROM object_state") < all
	})
	p.kill(conn)
	if n := len(stored(t, conn)); n == len(want) {
		t.Log("it was done before it was killed")
	}
	expectNothingDangles(t, conn)
	// The site goes on, and takes up garbage again.
	back := get[int64](t, conn, "SELECT coalesce(max(zoid), 0) FROM object_state WHERE zoid <> ALL ($1)", want)
	if back > 0 {
		graph, err := zodbtest.Load(t.Context(), conn)
		if err != nil {
			t.Fatal(err)
		}
		commit(t, conn, links{0: append(graph[0], back)})
		want = without(stored(t, conn), unreachable(t, conn))
	}
	packStorage(t, target, everything)
	expectStored(t, conn, want...)
	expectExact(t, conn)
}
