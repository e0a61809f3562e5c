package pack_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/figures"
	"relpack/runner/internal/packtest"
	"relpack/runner/pack"
	"relpack/runner/target"
)

// verifiedSo pretends that everything was verified so long ago.
func verifiedSo(t *testing.T, conn *pgx.Conn, ago string) {
	t.Helper()
	packtest.Run(t, conn, "UPDATE relpack.audit SET met = now() - $1::interval", ago)
	packtest.Run(t, conn, "UPDATE relpack.audited SET since = now() - $1::interval", ago)
}

// newVerified is a storage of 5,000 live objects that was verified so long ago.
func newVerified(t *testing.T, ago string) (target.Target, *pgx.Conn) {
	t.Helper()
	target, conn := packtest.NewStorage(t)
	chain := packtest.Links{}
	for zoid := range int64(5_000) {
		chain[zoid] = []int64{(zoid + 1) % 5_000}
	}
	packtest.Load(t, conn, chain)
	packtest.DryRun(t, target)
	verifiedSo(t, conn, ago)
	return target, conn
}

// ranges are what was verified, and how many hours ago.
func ranges(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	return packtest.Lines(t, conn, `SELECT format('%s to %s: %s', greatest(first_zoid, 0), least(last_zoid, 5000),
		round(extract(epoch FROM now() - since) / 3600)) FROM relpack.audited ORDER BY first_zoid`)
}

func TestAPackVerifiesTheShareOfTheStorageThatTheClockWants(t *testing.T) {
	t.Parallel()
	target, conn := newVerified(t, "1 day")
	report := packtest.Pack(t, target, packtest.Everything)
	if n := report.Audited.Objects; n < 5_000/28 || n > 1_000 {
		t.Errorf("audited %d objects", n)
	}
	if !slices.ContainsFunc(report.Phases, func(p figures.Phase) bool { return p.Name == "audit" }) {
		t.Errorf("phases: %v", report.Phases)
	}
	if got := ranges(t, conn); !slices.Equal(got, []string{"0 to 499: 0", "500 to 5000: 24"}) {
		t.Errorf("verified %q", got)
	}
	// An hour has not passed since.
	if report := packtest.Pack(t, target, packtest.Everything); report.Audited.Objects != 0 {
		t.Errorf("audited %d objects again", report.Audited.Objects)
	}
	// After a week the next quarter, and so on until all is done, dry runs included.
	for round := range 4 {
		packtest.Run(t, conn, "UPDATE relpack.audit SET met = met - interval '7 days'")
		packtest.Run(t, conn, "UPDATE relpack.audited SET since = since - interval '7 days'")
		if report := packtest.DryRun(t, target); report.Audited.Objects < 5_000/4 {
			t.Errorf("week %d: audited %d objects", round, report.Audited.Objects)
		}
	}
	var since time.Time
	if err := conn.QueryRow(t.Context(), "SELECT verified_since FROM relpack.status()").Scan(&since); err != nil {
		t.Fatal(err)
	}
	if age := time.Since(since); age > 28*24*time.Hour {
		t.Errorf("everything was verified within %v; %q", age, ranges(t, conn))
	}
	if total := packtest.Get[string](t, conn, `SELECT format('%s gaps', count(*)) FROM (
		SELECT first_zoid <> lag(last_zoid) OVER (ORDER BY first_zoid) + 1 AS gap FROM relpack.audited) AS g WHERE gap`); total != "0 gaps" {
		t.Errorf("%s: %q", total, ranges(t, conn))
	}
}

func TestAnAuditThatIsOverdueReadsEverythingOnce(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]string{
		"after two months":                     "UPDATE relpack.audit SET met = now() - interval '60 days'",
		"after a clock was wrong":              "UPDATE relpack.audit SET met = now() + interval '10 years'; UPDATE relpack.audited SET since = now() + interval '10 years'",
		"after a restore without its tables":   "DELETE FROM relpack.audit; DELETE FROM relpack.audited",
		"after a restore without one of these": "UPDATE relpack.audit SET met = '-infinity'; DELETE FROM relpack.audited",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := newVerified(t, "60 days")
			packtest.Run(t, conn, spoil)
			if report := packtest.Pack(t, target, packtest.Everything); report.Audited.Objects != 5_000 || report.VerifiedSince == nil || time.Since(*report.VerifiedSince) > time.Hour {
				t.Errorf("audited %d objects, since %v", report.Audited.Objects, report.VerifiedSince)
			}
			if got := ranges(t, conn); !slices.Equal(got, []string{"0 to 5000: 0"}) {
				t.Errorf("verified %q", got)
			}
			if report := packtest.Pack(t, target, packtest.Everything); report.Audited.Objects != 0 {
				t.Errorf("audited %d objects again", report.Audited.Objects)
			}
		})
	}
}

// Each is what nothing but reading the states again can tell.
func TestADifferenceThatAnAuditFindsIsMendedAndStopsTheNextDeletionUntilThen(t *testing.T) {
	t.Parallel()
	for name, c := range packtest.Spoilt {
		if slices.Contains([]string{"parents_in_a_circle", "objects_miscounted", "references_miscounted", "work_for_no_node",
			"referrer_is_no_node", "live_but_doomed", "attached_with_detached_tid"}, c.Kind) || name == "the root lost" || name == "the root detached" {
			continue // those are for verify; with the root lost no pack comes so far
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewGarden(t)
			c.Spoil(t, conn)
			verifiedSo(t, conn, "30 days")
			o := packtest.Everything
			o.DryRun = true
			report, err := pack.Run(t.Context(), target, o, packtest.Log(t))
			if fault.ExitCode(err) != fault.ExitRefused || !strings.Contains(fault.Message(err), "It is mended now") || len(report.Mended) == 0 {
				t.Fatalf("pack: %v, mended %v", err, report.Mended)
			}
			packtest.ExpectExact(t, conn)
			packtest.ExpectSound(t, target)
			want := packtest.Without(packtest.Stored(t, conn), packtest.Unreachable(t, conn))
			packtest.Pack(t, target, packtest.Everything)
			packtest.ExpectStored(t, conn, want...)
		})
	}
}

func TestADifferenceThatNobodyHasMendedYetStopsEveryDeletion(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	all := packtest.Stored(t, conn)
	packtest.Unnoticed(t, conn, packtest.Rewrite, 2, packtest.Document(10))
	verifiedSo(t, conn, "30 days")
	// The run ends when it is about to mend what it found.
	o := packtest.Before("verify", func() {
		packtest.Run(t, conn, "SELECT pg_terminate_backend(pid) FROM relpack.pack_lock_holder()")
	})
	o.DryRun = true
	if _, err := pack.Run(t.Context(), target, o, packtest.Log(t)); err == nil {
		t.Fatal("it came to its end")
	}
	packtest.Until(t, "the session has ended", func() bool {
		return packtest.Get[int](t, conn, "SELECT count(*) FROM relpack.pack_lock_holder()") == 0
	})
	_, err := conn.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
	packtest.ExpectState(t, err, fault.StateRefused)
	if !strings.Contains(fmt.Sprint(err), "zoid 2") {
		t.Errorf("sweep: %v", err)
	}
	packtest.ExpectNothingDeleted(t, target)
	packtest.ExpectExact(t, conn)
	want := packtest.Without(all, packtest.Unreachable(t, conn))
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, want...)
}

func TestASampleOfTheDoomedIsReadAgainBeforeTheFirstGoes(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]string{
		"they lost their parents": "SELECT",
		"a reference is lost":     "DELETE FROM relpack.object_inref WHERE zoid IN (2, 3)",
		"a live object has gone":  "DELETE FROM relpack.object WHERE zoid = 1; DELETE FROM relpack.object_inref WHERE inref = 1",
		"what it held is cut off": "UPDATE relpack.object SET parent = NULL WHERE zoid IN (1, 2, 3); DELETE FROM relpack.object_inref WHERE zoid = 1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewStorage(t)
			// Each refers back to what holds it.
			packtest.Commit(t, conn, packtest.Links{0: {1}, 1: {0, 2, 3}, 2: {1}, 3: {1, 2}, 10: {11}, 11: {10}})
			packtest.DryRun(t, target)
			packtest.Spoil(t, conn, lose)
			packtest.Run(t, conn, "UPDATE relpack.object SET parent = NULL WHERE zoid IN (2, 3)")
			packtest.Run(t, conn, "UPDATE relpack.storage SET objects = (SELECT count(*) FROM relpack.object), inrefs = (SELECT count(*) FROM relpack.object_inref), doomed_tid = 0")
			report, err := pack.Run(t.Context(), target, packtest.Everything, packtest.Log(t))
			packtest.ExpectError(t, err, fault.ExitRefused, "It is mended now", "zoid", "relpack pack")
			if report.Deleted.Objects > 0 {
				t.Errorf("deleted %d objects", report.Deleted.Objects)
			}
			packtest.ExpectStored(t, conn, 0, 1, 2, 3, 10, 11)
			packtest.ExpectExact(t, conn)
			packtest.Pack(t, target, packtest.Everything)
			packtest.ExpectStored(t, conn, 0, 1, 2, 3)
			packtest.ExpectSound(t, target)
		})
	}
}

// afterStatement acts once, when a run has executed a statement with this text.
type afterStatement struct {
	slog.Handler
	text string
	act  func()
	once sync.Once
}

func (h *afterStatement) Enabled(context.Context, slog.Level) bool { return true }

func (h *afterStatement) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, h.text) {
		h.once.Do(h.act)
	}
	return nil
}

func (h *afterStatement) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h *afterStatement) WithGroup(string) slog.Handler      { return h }

func TestWhatIsReferredToAgainAfterItWasChosenIsNoDifference(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(t *testing.T, conn *pgx.Conn){
		"by a commit":              func(t *testing.T, conn *pgx.Conn) { packtest.Commit(t, conn, packtest.Links{2: {10}}) },
		"by a row with an old tid": func(t *testing.T, conn *pgx.Conn) { packtest.Restore(t, conn, 2, 5, packtest.Document(10)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewStorage(t)
			packtest.Commit(t, conn, packtest.Links{0: {2}, 2: nil, 10: {2, 11}, 11: {2}, 12: {2}})
			acted := false
			log := slog.New(&afterStatement{text: "relpack.doom(", act: func() { acted = true; write(t, conn) }})
			if _, err := pack.Run(t.Context(), target, packtest.Everything, log); err != nil || !acted {
				t.Fatalf("pack: %v, acted: %v", err, acted)
			}
			packtest.ExpectStored(t, conn, 0, 2, 10, 11)
			packtest.ExpectExact(t, conn)
		})
	}
}

func TestStatusSaysSinceWhenEverythingIsVerified(t *testing.T) {
	t.Parallel()
	target, conn := newVerified(t, "3 days")
	packtest.ExpectWords(t, packtest.Status(t, target), "verified", "each object since", "(3 days ago)")
	verifiedSo(t, conn, "29 days")
	packtest.ExpectWords(t, packtest.Status(t, target), "packs are behind", "relpack verify")
	packtest.ExpectSound(t, target)
	packtest.ExpectWords(t, packtest.Status(t, target), "each object since")
	if text := packtest.Status(t, target); strings.Contains(text, "behind") {
		t.Error(text)
	}
	packtest.Run(t, conn, "DELETE FROM relpack.audited")
	packtest.ExpectWords(t, packtest.Status(t, target), "not all of it yet")
}
