package runner

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
	"relpack/runner/pack"
	"relpack/runner/target"
)

// verifiedSo pretends that everything was verified so long ago.
func verifiedSo(t *testing.T, conn *pgx.Conn, ago string) {
	t.Helper()
	run(t, conn, "UPDATE relpack.audit SET met = now() - $1::interval", ago)
	run(t, conn, "UPDATE relpack.audited SET since = now() - $1::interval", ago)
}

// newVerified is a storage of 5,000 live objects that was verified so long ago.
func newVerified(t *testing.T, ago string) (target.Target, *pgx.Conn) {
	t.Helper()
	target, conn := newStorage(t)
	chain := links{}
	for zoid := range int64(5_000) {
		chain[zoid] = []int64{(zoid + 1) % 5_000}
	}
	load(t, conn, chain)
	dryRun(t, target)
	verifiedSo(t, conn, ago)
	return target, conn
}

// ranges are what was verified, and how many hours ago.
func ranges(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	return lines(t, conn, `SELECT format('%s to %s: %s', greatest(first_zoid, 0), least(last_zoid, 5000),
		round(extract(epoch FROM now() - since) / 3600)) FROM relpack.audited ORDER BY first_zoid`)
}

func TestAPackVerifiesTheShareOfTheStorageThatTheClockWants(t *testing.T) {
	t.Parallel()
	target, conn := newVerified(t, "1 day")
	report := packStorage(t, target, everything)
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
	if report := packStorage(t, target, everything); report.Audited.Objects != 0 {
		t.Errorf("audited %d objects again", report.Audited.Objects)
	}
	// After a week the next quarter, and so on until all is done, dry runs included.
	for round := range 4 {
		run(t, conn, "UPDATE relpack.audit SET met = met - interval '7 days'")
		run(t, conn, "UPDATE relpack.audited SET since = since - interval '7 days'")
		if report := dryRun(t, target); report.Audited.Objects < 5_000/4 {
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
	if total := get[string](t, conn, `SELECT format('%s gaps', count(*)) FROM (
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
			run(t, conn, spoil)
			if report := packStorage(t, target, everything); report.Audited.Objects != 5_000 || report.VerifiedSince == nil || time.Since(*report.VerifiedSince) > time.Hour {
				t.Errorf("audited %d objects, since %v", report.Audited.Objects, report.VerifiedSince)
			}
			if got := ranges(t, conn); !slices.Equal(got, []string{"0 to 5000: 0"}) {
				t.Errorf("verified %q", got)
			}
			if report := packStorage(t, target, everything); report.Audited.Objects != 0 {
				t.Errorf("audited %d objects again", report.Audited.Objects)
			}
		})
	}
}

// Each is what nothing but reading the states again can tell.
func TestADifferenceThatAnAuditFindsIsMendedAndStopsTheNextDeletionUntilThen(t *testing.T) {
	t.Parallel()
	for name, c := range spoilt {
		if slices.Contains([]string{"parents_in_a_circle", "objects_miscounted", "references_miscounted", "work_for_no_node",
			"referrer_is_no_node", "live_but_doomed", "attached_with_detached_tid"}, c.kind) || name == "the root lost" || name == "the root detached" {
			continue // those are for verify; with the root lost no pack comes so far
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := newGarden(t)
			c.spoil(t, conn)
			verifiedSo(t, conn, "30 days")
			o := everything
			o.DryRun = true
			report, err := pack.Run(t.Context(), target, o, testLog(t))
			if fault.ExitCode(err) != fault.ExitRefused || !strings.Contains(fault.Message(err), "It is mended now") || len(report.Mended) == 0 {
				t.Fatalf("pack: %v, mended %v", err, report.Mended)
			}
			expectExact(t, conn)
			expectSound(t, target)
			want := without(stored(t, conn), unreachable(t, conn))
			packStorage(t, target, everything)
			expectStored(t, conn, want...)
		})
	}
}

func TestADifferenceThatNobodyHasMendedYetStopsEveryDeletion(t *testing.T) {
	t.Parallel()
	target, conn := newGarden(t)
	all := stored(t, conn)
	unnoticed(t, conn, rewrite, 2, document(10))
	verifiedSo(t, conn, "30 days")
	// The run ends when it is about to mend what it found.
	o := before("verify", func() {
		run(t, conn, "SELECT pg_terminate_backend(pid) FROM relpack.pack_lock_holder()")
	})
	o.DryRun = true
	if _, err := pack.Run(t.Context(), target, o, testLog(t)); err == nil {
		t.Fatal("it came to its end")
	}
	until(t, "the session has ended", func() bool {
		return get[int](t, conn, "SELECT count(*) FROM relpack.pack_lock_holder()") == 0
	})
	_, err := conn.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
	expectState(t, err, fault.StateRefused)
	if !strings.Contains(fmt.Sprint(err), "zoid 2") {
		t.Errorf("sweep: %v", err)
	}
	expectRefused(t, target)
	expectExact(t, conn)
	want := without(all, unreachable(t, conn))
	packStorage(t, target, everything)
	expectStored(t, conn, want...)
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
			target, conn := newStorage(t)
			// Each refers back to what holds it.
			commit(t, conn, links{0: {1}, 1: {0, 2, 3}, 2: {1}, 3: {1, 2}, 10: {11}, 11: {10}})
			dryRun(t, target)
			spoil(t, conn, lose)
			run(t, conn, "UPDATE relpack.object SET parent = NULL WHERE zoid IN (2, 3)")
			run(t, conn, "UPDATE relpack.storage SET objects = (SELECT count(*) FROM relpack.object), inrefs = (SELECT count(*) FROM relpack.object_inref), doomed_tid = 0")
			report, err := pack.Run(t.Context(), target, everything, testLog(t))
			expectError(t, err, fault.ExitRefused, "It is mended now", "zoid", "relpack pack")
			if report.Deleted.Objects > 0 {
				t.Errorf("deleted %d objects", report.Deleted.Objects)
			}
			expectStored(t, conn, 0, 1, 2, 3, 10, 11)
			expectExact(t, conn)
			packStorage(t, target, everything)
			expectStored(t, conn, 0, 1, 2, 3)
			expectSound(t, target)
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
		"by a commit":              func(t *testing.T, conn *pgx.Conn) { commit(t, conn, links{2: {10}}) },
		"by a row with an old tid": func(t *testing.T, conn *pgx.Conn) { restore(t, conn, 2, 5, document(10)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := newStorage(t)
			commit(t, conn, links{0: {2}, 2: nil, 10: {2, 11}, 11: {2}, 12: {2}})
			acted := false
			log := slog.New(&afterStatement{text: "relpack.doom(", act: func() { acted = true; write(t, conn) }})
			if _, err := pack.Run(t.Context(), target, everything, log); err != nil || !acted {
				t.Fatalf("pack: %v, acted: %v", err, acted)
			}
			expectStored(t, conn, 0, 2, 10, 11)
			expectExact(t, conn)
		})
	}
}

func TestStatusSaysSinceWhenEverythingIsVerified(t *testing.T) {
	t.Parallel()
	target, conn := newVerified(t, "3 days")
	expectWords(t, statusText(t, target), "verified", "each object since", "(3 days ago)")
	verifiedSo(t, conn, "29 days")
	expectWords(t, statusText(t, target), "packs are behind", "relpack verify")
	expectSound(t, target)
	expectWords(t, statusText(t, target), "each object since")
	if text := statusText(t, target); strings.Contains(text, "behind") {
		t.Error(text)
	}
	run(t, conn, "DELETE FROM relpack.audited")
	expectWords(t, statusText(t, target), "not all of it yet")
}
