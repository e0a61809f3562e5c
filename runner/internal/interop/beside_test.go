package interop

import (
	"strings"
	"testing"
	"time"
)

func TestZodbpackAndRelpackTakeTurns(t *testing.T) {
	t.Parallel()
	for _, s := range []shape{{files: true}, {}} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			w := newSite(t, s)
			w.create()
			w.run(zodbpackTakesItsTime)
			// zodbpack removes the blob files of what it deletes though
			// open transactions still see their objects: a reader that
			// takes a second meets it in every other run, without any
			// relpack too.
			readers := 1
			if s.files {
				readers = 0
			}
			a := w.startApplication("own", 3, readers)
			defer a.end()
			f := w.watch()
			rounds := 0
			for until := time.Now().Add(soak / 2); time.Now().Before(until) || rounds == 0; rounds++ {
				f.during("pack", func() { w.relpack("pack", "--days", "0", w.config) })
				// zodbpack lists what is stored before it reads references, and
				// deletes what is referred to by nothing but what was made in
				// between: half a bucket of a BTree that splits.
				a.whileCalm(func() { f.during("zodbpack", func() { w.zodbpack("--days", "0") }) })
			}
			a.end()
			f.stop()
			f.report(a.commits())
			t.Logf("%d rounds", rounds)
			w.expectSound()
		})
	}
}

// On a large site minutes pass between its list and its snapshot of the references.
const zodbpackTakesItsTime = `
	CREATE FUNCTION take_time() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pg_sleep(0.3);
		RETURN NULL;
	END $$;
	CREATE TRIGGER take_time AFTER UPDATE ON pack_object FOR EACH STATEMENT EXECUTE FUNCTION take_time()`

func TestOfZodbpackAndRelpackOneSaysThatTheOtherPacks(t *testing.T) {
	t.Parallel()
	w := newSite(t, shape{files: true})
	w.create()
	w.expectOnePacker()
	w.expectSound()
}

// expectOnePacker lets zodbpack and relpack pack at once.
func (w *site) expectOnePacker() {
	w.t.Helper()
	// It comes to this table when it has the pack lock.
	ours, release := w.heldAt("relpack.run", func() *process { return w.start(program, "pack", w.config) })
	if r := w.attempt(w.python.Program("zodbpack"), w.config); r.code == 0 || !strings.Contains(r.stderr, "in progress") {
		w.t.Errorf("zodbpack, while relpack packs: %v", r)
	}
	release()
	if r := ours.result(); r.code != 0 {
		w.t.Errorf("relpack, then: %v", r)
	}
	theirs, release := w.heldAt("pack_object", func() *process { return w.start(w.python.Program("zodbpack"), w.config) })
	if r := w.attempt(program, "pack", w.config); r.code != 3 || !strings.Contains(r.stderr, "another pack is running: pid") {
		w.t.Errorf("relpack, while zodbpack packs: %v", r)
	}
	release()
	if r := theirs.result(); r.code != 0 {
		w.t.Errorf("zodbpack, then: %v", r)
	}
}

// heldAt starts a process that is held up when it comes to a table, and returns
// when it is there.
func (w *site) heldAt(table string, start func() *process) (p *process, release func()) {
	w.t.Helper()
	tx, err := w.connect("").Begin(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := tx.Exec(w.t.Context(), "LOCK TABLE "+table); err != nil {
		w.t.Fatal(err)
	}
	p = start()
	w.until(p.name+" comes to "+table, func() bool {
		if p.endsWithin(0) {
			w.t.Fatalf("%s: %v", p.name, p.result())
		}
		return get[bool](w.t, w.conn, `SELECT EXISTS (SELECT FROM pg_locks WHERE relation = $1::text::regclass AND NOT granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`, table)
	})
	return p, func() {
		if err := tx.Rollback(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	}
}
