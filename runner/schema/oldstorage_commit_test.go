package schema_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
)

// A commit that has its locks when relpack deletes goes on, and relpack waits;
// what it writes is taken into account.
func TestACommitOfEachReleaseInTheMiddleOfAPackGoesOn(t *testing.T) {
	t.Parallel()
	for _, version := range []zodbtest.Version{zodbtest.V15, zodbtest.V21, zodbtest.V30, zodbtest.V42} {
		for _, phase := range []string{"scan", "apply", "delete"} {
			t.Run(version.String()+" "+phase, func(t *testing.T) {
				t.Parallel()
				target, conn := packtest.NewVersion(t, version)
				commitOld(t, conn, version, 48*time.Hour, mixed(packtest.Garden))
				if phase == "apply" {
					packtest.DryRun(t, target)
					commitOld(t, conn, version, 0, mixed(packtest.Links{1: {2, 3}, 3: nil}))
				}
				app := packtest.Session(t, target)
				var commit *zodbtest.Transaction
				begun := make(chan struct{})
				done := make(chan error, 1)
				go func() {
					_, err := pack.Run(t.Context(), target, packtest.Before(phase, func() {
						defer close(begun)
						var err error
						commit, err = zodbtest.BeginCommit(t.Context(), app, version)
						for _, step := range []func() error{
							// 12 is garbage until now.
							func() error { return commit.Store(t.Context(), mixed(packtest.Links{1: {2, 12}})) },
							func() error { return commit.Vote(t.Context()) },
							func() error { return commit.LockCommits(t.Context()) },
							func() error {
								// Its lock keeps relpack from deleting before it has written.
								if phase == "delete" && version < zodbtest.V30 {
									return nil
								}
								_, err := commit.Move(t.Context(), 0)
								return err
							},
						} {
							if err == nil {
								err = step()
							}
						}
						if err != nil {
							t.Error(err)
						}
					}), packtest.Log(t))
					done <- err
				}()
				select {
				case <-begun:
				case err := <-done:
					t.Fatalf("the pack has no phase %s: %v", phase, err)
				}
				if phase == "delete" {
					packtest.Until(t, "relpack deletes", func() bool {
						return packtest.Get[bool](t, conn, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
							AND application_name = 'relpack pack' AND query LIKE '%relpack.sweep%')`)
					})
					if version < zodbtest.V30 {
						// Does relpack wait for the commit while that waits for relpack?
						packtest.Run(t, app, packtest.Impatient)
						if _, err := commit.Move(t.Context(), 0); err != nil {
							t.Fatal(err)
						}
					}
				}
				if err := commit.Commit(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				packtest.ExpectNothingDangles(t, conn)
				packtest.Pack(t, target, packtest.Everything)
				packtest.ExpectExact(t, conn)
				packtest.ExpectNothingDangles(t, conn)
			})
		}
	}
}

// One that comes upon rows being deleted waits for the end of the batch where
// its release locks the table, and for nothing elsewhere.
func TestACommitOfEachReleaseThatComesUponRowsBeingDeletedCommits(t *testing.T) {
	t.Parallel()
	for version, waits := range map[zodbtest.Version]bool{zodbtest.V15: true, zodbtest.V21: true, zodbtest.V30: false, zodbtest.V42: false} {
		t.Run(version.String(), func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewVersion(t, version)
			commitOld(t, conn, version, 48*time.Hour, mixed(packtest.Garden))
			packtest.DryRun(t, target)
			packtest.SlowSweep(t, conn)
			packtest.Run(t, conn, "SELECT pg_advisory_lock(4711, 4711)")
			packed := make(chan error, 1)
			go func() {
				_, err := pack.Run(t.Context(), target, packtest.Everything, packtest.Log(t))
				packed <- err
			}()
			packtest.Until(t, "rows are deleted", func() bool {
				return packtest.Get[bool](t, conn, `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND classid = 4711
					AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`)
			})
			app := packtest.Session(t, target)
			committed := make(chan error, 1)
			go func() {
				_, err := zodbtest.CommitAs(t.Context(), app, version, 0, mixed(packtest.Links{1: {2, 20}, 20: nil}))
				committed <- err
			}()
			if waits {
				packtest.UntilWaiting(t, conn, app.PgConn().PID())
			} else if err := <-committed; err != nil {
				t.Error(err)
			}
			packtest.Run(t, conn, "SELECT pg_advisory_unlock(4711, 4711)")
			if waits {
				if err := <-committed; err != nil {
					t.Error(err)
				}
			}
			if err := <-packed; err != nil {
				t.Error(err)
			}
			packtest.ExpectStored(t, conn, 0, 1, 2, 20)
		})
	}
}

// Its lock on the whole table makes a commit before 3.0 wait for the end of a
// batch, and all other commits with it: so batches are small there.
func TestBatchesAreSmallWhereCommitsLockTheTable(t *testing.T) {
	t.Parallel()
	for version, want := range map[zodbtest.Version]string{zodbtest.V15: "500", zodbtest.V21: "500", zodbtest.V30: "5000", zodbtest.V42: "5000"} {
		t.Run(version.String(), func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewVersion(t, version)
			commitOld(t, conn, version, 48*time.Hour, packtest.Garden.Records())
			log := &statements{}
			if _, err := pack.Run(t.Context(), target, packtest.Everything, log.logger()); err != nil {
				t.Fatal(err)
			}
			if got := log.args("relpack.sweep("); len(got) == 0 || !strings.HasPrefix(got[0], "["+want+" ") {
				t.Errorf("batches %q, want %s at first", got, want)
			}
		})
	}
}

// Up to 2.0 a commit deletes the rows that it replaces.
func TestABlobThatAnOldReleaseOverwritesKeepsItsOlderFiles(t *testing.T) {
	t.Parallel()
	target, conn, tid := packtest.NewAlbum(t, zodbtest.Bushy)
	packtest.Run(t, conn, "CREATE TABLE commit_lock ()")
	packtest.DryRun(t, target)
	newer := commitOld(t, conn, zodbtest.V15, 0, map[int64][]byte{2: zodbtest.Record(zodbtest.Blob)})
	packtest.WriteBlob(t, target, zodbtest.Bushy, 2, newer)
	packtest.Pack(t, target, packtest.Everything)
	for _, revision := range []int64{tid - 1000, tid, newer} {
		packtest.ExpectBlob(t, target, zodbtest.Bushy, 2, revision, true)
	}
	packtest.ExpectBlob(t, target, zodbtest.Bushy, 3, tid, false)

	// With the object the last one goes.
	commitOld(t, conn, zodbtest.V15, 0, packtest.Links{1: nil}.Records())
	packtest.Pack(t, target, packtest.Everything)
	for _, revision := range []int64{tid - 1000, tid, newer} {
		packtest.ExpectBlob(t, target, zodbtest.Bushy, 2, revision, revision < newer)
	}
}

// statements remembers what was sent.
type statements struct {
	slog.Handler
	guard sync.Mutex
	sent  []slog.Record
}

func (s *statements) logger() *slog.Logger { return slog.New(s) }

// Enabled is part of slog.Handler.
func (s *statements) Enabled(context.Context, slog.Level) bool { return true }

// Handle is part of slog.Handler.
func (s *statements) Handle(_ context.Context, r slog.Record) error {
	s.guard.Lock()
	defer s.guard.Unlock()
	s.sent = append(s.sent, r)
	return nil
}

// args are the arguments of the statements with these words.
func (s *statements) args(words string) (found []string) {
	s.guard.Lock()
	defer s.guard.Unlock()
	for _, r := range s.sent {
		if !strings.Contains(r.Message, words) {
			continue
		}
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "args" {
				found = append(found, a.Value.String())
			}
			return true
		})
	}
	return found
}
