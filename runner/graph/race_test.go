package graph_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/graph"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
	"relpack/runner/record"
)

// A rambler is a client that drops what it refers to and takes up whatever is
// stored, garbage or not.
type rambler struct {
	conn   *pgx.Conn
	random *rand.Rand
	own    int64 // its object below the root
	newest int64
}

var errGone = errors.New("the object is gone meanwhile")

func (r *rambler) step(ctx context.Context) error {
	err := pgx.BeginFunc(ctx, r.conn, func(tx pgx.Tx) error {
		var targets []int64
		if err := tx.QueryRow(ctx, "SELECT coalesce(array_agg(zoid), '{}') FROM (SELECT zoid FROM object_state WHERE zoid > 100 ORDER BY random() LIMIT 2) AS few").
			Scan(&targets); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(-1)"); err != nil {
			return err
		}
		var tid int64
		if err := tx.QueryRow(ctx, "SELECT greatest(max(tid) + 1, $1) FROM object_state", zodbtest.TimeTid(time.Now())).Scan(&tid); err != nil {
			return err
		}
		r.newest++
		for zoid, refs := range (packtest.Links{r.own: append(targets, r.newest), r.newest: {r.newest + 1}, r.newest + 1: {r.newest}}) {
			if _, err := tx.Exec(ctx, packtest.RestoreRow, zoid, tid, zodbtest.Record(zodbtest.Document, refs...)); err != nil {
				return err
			}
		}
		r.newest++
		// What is stored now, with the write done, must stay: from here on
		// relpack can know.
		var there int
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM object_state WHERE zoid = ANY ($1)", targets).Scan(&there); err != nil {
			return err
		}
		if there < len(targets) {
			return errGone
		}
		return nil
	})
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

func TestNoReferenceEverDanglesWhileClientsTakeUpGarbage(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	l := packtest.Links{0: {1, 2, 3}, 1: nil, 2: nil, 3: nil}
	for zoid := int64(101); zoid < 160; zoid++ {
		l[zoid] = []int64{zoid + 1, zoid + 2}
	}
	l[160], l[161] = nil, nil
	packtest.Commit(t, conn, l)
	ctx, cancel := context.WithCancel(t.Context())
	var clients, packers sync.WaitGroup
	for own := int64(1); own <= 3; own++ {
		r := &rambler{packtest.Session(t, target), rand.New(rand.NewPCG(7, uint64(own))), own, own * 100_000}
		clients.Go(func() {
			for range 60 {
				if err := r.step(ctx); err != nil {
					t.Errorf("a client's commit was lost: %v", err)
					return
				}
			}
		})
	}
	packers.Go(func() {
		for packs := 0; ctx.Err() == nil; packs++ {
			// Interrupted or given up: the next one goes on.
			_, _ = pack.Run(ctx, target, packtest.Everything, packtest.Log(t))
		}
	})
	packers.Go(func() {
		reader := packtest.Session(t, target)
		for ctx.Err() == nil {
			refs, err := zodbtest.Load(ctx, reader)
			if err != nil {
				return
			}
			for zoid := range zodbtest.Reachable(refs) {
				for _, ref := range refs[zoid] {
					if _, stored := refs[ref]; !stored {
						t.Errorf("object %d can be reached and refers to %d, which is gone", zoid, ref)
						return
					}
				}
			}
		}
	})
	clients.Wait()
	cancel()
	packers.Wait()
	packtest.UntilGone(t, conn)
	want := packtest.Without(packtest.Stored(t, conn), packtest.Unreachable(t, conn))
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, want...)
	packtest.ExpectNothingDangles(t, conn)
	packtest.ExpectExact(t, conn)
}

func TestAReferrerGoesNoLaterThanWhatItRefersToWhereThatFitsABatch(t *testing.T) {
	t.Parallel()
	// Ten chains or cycles of ten, side by side: object i*10+j is the i-th of
	// chain j.
	last := func(zoid int64) bool { return zoid >= 190 }
	for name, next := range map[string]func(zoid int64) []int64{
		"upwards":   func(zoid int64) []int64 { return []int64{zoid + 10} },
		"downwards": func(zoid int64) []int64 { return []int64{zoid - 10} },
		"in cycles": func(zoid int64) []int64 {
			if last(zoid) {
				return []int64{zoid - 90}
			}
			return []int64{zoid + 10}
		},
	} {
		for _, blobs := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, blobs in the database %v", name, blobs), func(t *testing.T) {
				t.Parallel()
				target, conn := packtest.NewStorage(t)
				target.BlobsInDatabase = blobs
				l := packtest.Links{0: {1}, 1: nil}
				for zoid := int64(100); zoid < 200; zoid++ {
					l[zoid] = slices.DeleteFunc(next(zoid), func(ref int64) bool { return ref < 100 || ref > 199 })
				}
				packtest.Commit(t, conn, l)
				batch := 20
				if blobs {
					// So many chunks that eight chains fill the lock table's share.
					batch = 200
					packtest.Run(t, conn, `INSERT INTO blob_chunk SELECT zoid, chunk, tid, lo_from_bytea(0, 'x')
						FROM object_state, generate_series(1, 200) AS chunk WHERE zoid > 189`)
				}
				packtest.DryRun(t, target)
				for remaining, batches := int64(1), 0; remaining > 0; batches++ {
					if batches > 20 {
						t.Fatalf("%d objects remain after %d batches", remaining, batches)
					}
					if err := conn.QueryRow(t.Context(), "SELECT remaining FROM relpack.sweep($1, NULL)", batch).Scan(&remaining); err != nil {
						t.Fatal(err)
					}
					refs, err := zodbtest.Load(t.Context(), conn)
					if err != nil {
						t.Fatal(err)
					}
					for zoid, to := range refs {
						for _, ref := range to {
							if _, stored := refs[ref]; !stored {
								t.Fatalf("with %d objects to go, %d is there and %d, which it refers to, is not", remaining, zoid, ref)
							}
						}
					}
				}
				packtest.ExpectStored(t, conn, 0, 1)
			})
		}
	}
}

func TestADeletionWaitsForTheDiskWhateverTheSession(t *testing.T) {
	t.Parallel()
	_, conn := packtest.NewGarden(t)
	packtest.Run(t, conn, `
		CREATE TABLE seen (setting text);
		CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			INSERT INTO public.seen VALUES (current_setting('synchronous_commit'));
			RETURN NULL;
		END $$;
		CREATE TRIGGER see AFTER DELETE ON object_state FOR EACH STATEMENT EXECUTE FUNCTION see();
		SET synchronous_commit = off`)
	if got := packtest.Outcome(t, conn); got != "swept" {
		t.Fatalf("outcome %s, want swept", got)
	}
	if got := packtest.Get[string](t, conn, "SELECT setting FROM seen"); got != "local" {
		t.Errorf("synchronous_commit is %s", got)
	}
}

// A relpack that stood still while its session with the pack lock was ended goes
// on to send what it had read: another pack must not apply it.
func TestWhatALostPackStillSendsIsNotAppliedByAnother(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packer := packtest.Session(t, target)
	if !packtest.Get[bool](t, packer, "SELECT relpack.try_pack_lock()") {
		t.Fatal("the pack lock is not to be had")
	}
	x := graph.NewExaminer(packtest.Packer(t, target, packer), nil)
	defer x.Second.Close()
	read := func() error {
		objects := record.NewBuffer("examined_object", "zoid, tid, class, size")
		objects.Row(4)
		for _, value := range []int64{60, 1} {
			objects.Bigint(value)
		}
		objects.Integer(record.ClassUnknown)
		objects.Integer(0)
		return x.SendAside(t.Context(), objects)
	}
	if err := read(); err != nil {
		t.Fatal(err)
	}
	const sent = "SELECT count(*) FROM relpack.examined_object"
	if n := packtest.Get[int](t, conn, sent); n != 1 {
		t.Fatalf("%d rows were sent", n)
	}
	packtest.Run(t, conn, "SELECT pg_terminate_backend($1, 5000)", x.PID)
	packtest.ExpectState(t, read(), fault.StateLost)
	packtest.Commit(t, conn, packtest.Links{2: nil})
	packtest.Pack(t, target, packtest.Everything)
	if n := packtest.Get[int](t, conn, sent); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	packtest.ExpectExact(t, conn)
	packtest.ExpectStored(t, conn, 0, 1, 2)
}
