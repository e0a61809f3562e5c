package check_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"relpack/migrations"
	"relpack/runner/check"
	"relpack/runner/du"
	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/program"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/look"
	"relpack/runner/target"
	"relpack/runner/verify"
	"relpack/runner/why"
)

// In a history-preserving storage old revisions refer to objects, too, as long as the
// last pack keeps them; what a visitor loads is the newest one.
func TestAHistoryIsLookedAt(t *testing.T) {
	t.Parallel()
	empty, conn := packtest.NewEmptyDatabase(t)
	if err := zodbtest.CreateHistory(t.Context(), conn, zodbtest.V42); err != nil {
		t.Fatal(err)
	}
	s, h := storage{Target: target.Target{DSN: empty.DSN}, conn: conn}, zodbtest.History{Conn: conn, Version: zodbtest.V42}
	commit := func(days int, objects map[int64][]byte) {
		t.Helper()
		tid := zodbtest.TimeTid(time.Now().AddDate(0, 0, -days))
		if days == 0 {
			tid = 0
		}
		if _, err := h.Commit(t.Context(), tid, objects); err != nil {
			t.Fatal(err)
		}
	}
	commit(4, map[int64][]byte{0: record(1, 2), 1: record(3), 2: record(4), 3: record(), 4: record()})
	commit(3, map[int64][]byte{1: record(), 2: record(5), 5: record()})
	if r := program.Run(t, "migrate", "up", "-q", "--dsn", s.DSN); r.Code != 0 {
		t.Fatal(r)
	}
	dry := packtest.Everything
	dry.DryRun = true
	packtest.Pack(t, s.Target, dry)
	// Since then, by the newest revisions alone: 5 is cut off, 6 is new.
	commit(0, map[int64][]byte{1: record(6), 2: record(), 6: record()})
	expect := func(want map[int64]look.Verdict) {
		t.Helper()
		for zoid, verdict := range want {
			report, err := why.Ask(t.Context(), s.Target, why.Options{Zoids: []int64{zoid}, Migrations: migrations.Files}, slog.New(slog.DiscardHandler))
			if err != nil || report.Objects[0].Verdict != verdict {
				t.Errorf("%v: zoid %d: %+v, want %s", err, zoid, report.Objects, verdict)
			}
		}
	}
	expect(map[int64]look.Verdict{1: look.Alive, 2: look.Alive, 3: look.Unreachable, 4: look.Unreachable, 5: look.Alive, 6: look.Alive})
	if r := s.check(t, 0); r.Outcome != "sound" || r.Fresh != 3 {
		t.Errorf("%+v", r)
	}
	sizes, err := du.Storage(t.Context(), s.Target, du.Options{Depth: 3, Max: 10, Migrations: migrations.Files}, slog.New(slog.DiscardHandler))
	var table strings.Builder
	if err != nil || sizes.Write(&table) != nil || sizes.Top.Objects != 4 || len(sizes.Top.Content) != 2 || !strings.Contains(table.String(), "history") {
		t.Errorf("%v: %+v %s", err, sizes.Top, table.String())
	}
	bytes := func(where string) (n int64) {
		t.Helper()
		const sum = `SELECT sum(octet_length(state))::bigint FROM object_state AS stored JOIN current_object USING (zoid) WHERE zoid IN (0, 1, 2, 5) AND `
		if err := conn.QueryRow(t.Context(), sum+where).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if states, history := bytes("stored.tid = current_object.tid"), bytes("stored.tid <> current_object.tid"); sizes.Top.States != states || sizes.Top.History != history {
		t.Errorf("%+v, want %d bytes of states and %d of older revisions", sizes.Top.Sum, states, history)
	}
	// Restored with an old tid, garbage is referred to again; a whiteout is loaded by nobody.
	if err := h.Restore(t.Context(), zodbtest.TimeTid(time.Now().AddDate(0, 0, -2)), false, map[int64][]byte{6: record(3)}, nil); err != nil {
		t.Fatal(err)
	}
	expect(map[int64]look.Verdict{3: look.Alive})
	commit(0, map[int64][]byte{1: nil})
	if r := s.check(t, fault.ExitRefused); r.UndecodableCount != 1 {
		t.Errorf("%+v", r)
	}
}

func TestADeletedBlobHasNoStateAndLacksNoFile(t *testing.T) {
	t.Parallel()
	a := packtest.NewHistoryAlbum(t, zodbtest.Bushy, true)
	a.Write(t, packtest.DaysAgo(0.5), map[int64][]byte{4: nil})
	dry := packtest.Everything
	dry.DryRun, dry.Days = true, 5
	packtest.Pack(t, a.Target, dry)
	s := storage{Target: a.Target, conn: a.Conn}
	if r := s.check(t, fault.ExitRefused); r.UndecodableCount != 1 || r.Blobs.Found == 0 || r.Blobs.Missing != 0 {
		t.Errorf("%+v", r)
	}
	// Set back to one that it had: a client opens its file.
	packtest.Run(t, a.Conn, `UPDATE current_object SET tid = object_state.tid FROM object_state
		WHERE object_state.zoid = 4 AND current_object.zoid = 4 AND state IS NOT NULL`)
	s.check(t, fault.ExitDone)
	if err := os.Remove(zodbtest.BlobPath(a.Target.BlobDir, a.Layout, 4, a.First)); err != nil {
		t.Fatal(err)
	}
	if r := s.check(t, fault.ExitRefused); r.UndecodableCount != 0 || r.Blobs.Missing != 1 {
		t.Errorf("%+v", r)
	}
}

// What the graph knows is not counted again.
func TestRevisionsThatReferToTheSameInAnotherDatabaseAreCountedOnce(t *testing.T) {
	t.Parallel()
	a := packtest.NewHistoryAlbum(t, zodbtest.Bushy, true)
	s := storage{Target: a.Target, conn: a.Conn}
	another := []byte(strings.NewReplacer("other", "third").Replace(refersElsewhere))
	dry := packtest.Everything
	dry.DryRun, dry.Days = true, 5
	a.Write(t, packtest.DaysAgo(0.9), map[int64][]byte{1: []byte(refersElsewhere)})
	packtest.Pack(t, a.Target, dry)
	a.Write(t, packtest.DaysAgo(0.8), map[int64][]byte{1: []byte(refersElsewhere), 0: packtest.Document(1, 5), 5: another})
	a.Write(t, packtest.DaysAgo(0.7), map[int64][]byte{1: packtest.Document(2, 4), 5: another})
	for _, when := range []string{"since", "by a pack"} {
		r := s.check(t, fault.ExitDone)
		if len(r.Foreign) != 2 || r.Foreign[0].References != 1 || r.Foreign[0].First.Zoid != 1 || r.Foreign[1].References != 1 || r.Foreign[1].First.Zoid != 5 {
			t.Errorf("found %s: %+v", when, r.Foreign)
		}
		packtest.Pack(t, a.Target, dry)
	}
}

// An old revision that can't be decoded keeps packs from deleting as long as it counts.
func TestAnOldRevisionThatCanNotBeDecodedIsRemovedByALaterPack(t *testing.T) {
	t.Parallel()
	empty, conn := packtest.NewEmptyDatabase(t)
	if err := zodbtest.CreateHistory(t.Context(), conn, zodbtest.V42); err != nil {
		t.Fatal(err)
	}
	s, h := storage{Target: target.Target{DSN: empty.DSN}, conn: conn}, zodbtest.History{Conn: conn, Version: zodbtest.V42}
	for i, state := range [][]byte{[]byte("\x80\x02gg"), record()} {
		if _, err := h.Commit(t.Context(), zodbtest.TimeTid(time.Now().AddDate(0, 0, i-4)), map[int64][]byte{0: record(1), 1: state}); err != nil {
			t.Fatal(err)
		}
	}
	if r := program.Run(t, "migrate", "up", "-q", "--dsn", s.DSN); r.Code != 0 {
		t.Fatal(r)
	}
	const says = `"relpack pack --dry-run"`
	program.Run(t, "pack", "--dry-run", "--days", "10", "--dsn", s.DSN)
	if r := s.check(t, fault.ExitRefused); len(r.Undecodable) != 1 || !strings.Contains(r.Undecodable[0].Remedy, says) {
		t.Errorf("%+v", r)
	}
	_, err := conn.Exec(t.Context(), "SELECT relpack.require_settled()")
	packtest.ExpectRefusal(t, err, says)
	program.Run(t, "pack", "--dry-run", "--days", "1", "--dsn", s.DSN)
	s.check(t, 0)
}

// The creation of 1 was undone: only an old revision of the root refers to it.
func TestWhatOldRevisionsAloneHoldIsSaidToBeHeldByThem(t *testing.T) {
	t.Parallel()
	empty, conn := packtest.NewEmptyDatabase(t)
	if err := zodbtest.CreateHistory(t.Context(), conn, zodbtest.V42); err != nil {
		t.Fatal(err)
	}
	s, h := storage{Target: target.Target{DSN: empty.DSN}, conn: conn}, zodbtest.History{Conn: conn, Version: zodbtest.V42}
	if r := program.Run(t, "migrate", "up", "-q", "--dsn", s.DSN); r.Code != 0 {
		t.Fatal(r)
	}
	for i, objects := range []map[int64][]byte{
		{0: record(), 2: record()}, {0: record(1, 2), 1: record(), 2: record()}, {0: record(), 1: nil}} {
		if _, err := h.Commit(t.Context(), packtest.DaysAgo(0.9-float64(i)/10), objects); err != nil {
			t.Fatal(err)
		}
	}
	program.Run(t, "pack", "--dry-run", "--days", "1", "--dsn", s.DSN)
	if r := s.check(t, fault.ExitDone); r.Outcome != "sound" || r.Horizon == nil {
		t.Errorf("%+v", r)
	}
	says := func(zoid string, words ...string) {
		t.Helper()
		packtest.ExpectWords(t, program.Run(t, "why", zoid, "--dsn", s.DSN).Stdout, words...)
	}
	says("2", "old revisions", "the pack time of the last pack or dry run, is alive", "(an old revision)", "it goes with them")
	// What a client loads counts, and that is what current_object names.
	packtest.Run(t, conn, "UPDATE current_object SET tid = (SELECT min(tid) FROM object_state WHERE zoid = 0 AND md5 <> (SELECT md5 FROM object_state WHERE zoid = 0 ORDER BY tid LIMIT 1)) WHERE zoid = 0")
	if r := s.check(t, fault.ExitRefused); r.UndecodableCount != 1 || r.Undecodable[0].Name != "root.ref0" {
		t.Errorf("%+v", r)
	}
	packtest.Run(t, conn, "UPDATE current_object SET tid = (SELECT max(tid) FROM object_state WHERE zoid = 0) WHERE zoid = 0")
	s.check(t, fault.ExitDone)
	// An old revision of what is held now is damage all the same.
	if _, err := h.Commit(t.Context(), 0, map[int64][]byte{0: record(1)}); err != nil {
		t.Fatal(err)
	}
	if r := s.check(t, fault.ExitRefused); r.UndecodableCount != 1 {
		t.Errorf("%+v", r)
	}
	if _, err := h.Commit(t.Context(), 0, map[int64][]byte{0: record()}); err != nil {
		t.Fatal(err)
	}
	// A pack time of now has it unreachable, the default one does not before a day is over.
	program.Run(t, "pack", "--dry-run", "--days", "0", "--dsn", s.DSN)
	says("2", "unreachable", "at the latest, the pack time of the last pack or dry run", "by a pack with the default grace of a day from")
}

// A folder was created with its documents, which say what they are in, and that was undone.
func TestWhatManyOldRevisionsHoldIsNoDamage(t *testing.T) {
	t.Parallel()
	empty, conn := packtest.NewEmptyDatabase(t)
	if err := zodbtest.CreateHistory(t.Context(), conn, zodbtest.V42); err != nil {
		t.Fatal(err)
	}
	s, h := storage{Target: target.Target{DSN: empty.DSN}, conn: conn}, zodbtest.History{Conn: conn, Version: zodbtest.V42}
	if r := program.Run(t, "migrate", "up", "-q", "--dsn", s.DSN); r.Code != 0 {
		t.Fatal(r)
	}
	created, undone := map[int64][]byte{0: record(1)}, map[int64][]byte{0: record(), 1: nil}
	var documents []int64
	for zoid := int64(2); zoid < 60; zoid++ {
		documents, created[zoid], undone[zoid] = append(documents, zoid), record(1), nil
	}
	created[1] = record(documents...)
	for i, objects := range []map[int64][]byte{{0: record()}, created, undone} {
		if _, err := h.Commit(t.Context(), packtest.DaysAgo(0.9-float64(i)/10), objects); err != nil {
			t.Fatal(err)
		}
		program.Run(t, "pack", "--dry-run", "--days", "1", "--dsn", s.DSN)
		s.check(t, fault.ExitDone)
	}
	for _, zoid := range []string{"1", "2"} {
		if said := program.Run(t, "why", zoid, "--dsn", s.DSN).Stdout; strings.Contains(said, "POSKeyError") || !strings.Contains(said, "(an old revision)") {
			t.Error(said)
		}
	}
	if r := program.Run(t, "verify", "--dsn", s.DSN); r.Code != 0 {
		t.Error(r)
	}
	if _, err := h.Commit(t.Context(), 0, map[int64][]byte{0: record(59)}); err != nil {
		t.Fatal(err)
	}
	if r := s.check(t, fault.ExitRefused); r.UndecodableCount != 1 {
		t.Errorf("%+v", r)
	}
	packtest.ExpectWords(t, program.Run(t, "why", "59", "--dsn", s.DSN).Stdout, "POSKeyError")
}

// Its holder dropped 3, and says 2, which another has now: old revisions hold both as well.
func TestAWayThatAClientCanGoIsBetterThanOneByOldRevisions(t *testing.T) {
	t.Parallel()
	empty, conn := packtest.NewEmptyDatabase(t)
	if err := zodbtest.CreateHistory(t.Context(), conn, zodbtest.V42); err != nil {
		t.Fatal(err)
	}
	packtest.MigrateUp(t, empty)
	h := zodbtest.History{Conn: conn, Version: zodbtest.V42}
	commit := func(days float64, objects map[int64][]byte) {
		t.Helper()
		if _, err := h.Commit(t.Context(), packtest.DaysAgo(days), objects); err != nil {
			t.Fatal(err)
		}
	}
	held := zodbtest.HeldRecord(zodbtest.Document, 1)
	commit(0.9, map[int64][]byte{0: record(1, 5), 1: record(2, 3), 2: held, 3: held, 5: record(6), 6: record(7), 7: record()})
	dry := packtest.Everything
	dry.DryRun, dry.Days = true, 1
	packtest.Pack(t, empty, dry)
	commit(0.8, map[int64][]byte{1: record(), 7: record(2)})
	for _, when := range []string{"since", "by a pack"} {
		report, err := why.Ask(t.Context(), empty, why.Options{Zoids: []int64{2, 3}, Migrations: migrations.Files}, slog.New(slog.DiscardHandler))
		if err != nil || report.Objects[0].Name != "root.ref1.ref0.ref0.ref0" || report.Objects[1].Name != "root.ref0.?" {
			t.Errorf("found %s: %v, %+v", when, err, report.Objects)
		}
		packtest.Pack(t, empty, dry)
	}
}

// A dump that was restored without current_object, for instance.
func TestWhatNobodyCanLoadIsTold(t *testing.T) {
	t.Parallel()
	a := packtest.NewHistoryAlbum(t, zodbtest.Bushy, true)
	dry := packtest.Everything
	dry.DryRun = true
	packtest.Pack(t, a.Target, dry)
	s := storage{Target: target.Target{DSN: a.Target.DSN}, conn: a.Conn}
	s.check(t, fault.ExitDone)
	verified := func() string {
		t.Helper()
		report, _ := verify.Run(t.Context(), a.Target, packtest.VerifyOptions(false), packtest.Log(t))
		var kinds []string
		for _, f := range report.Findings {
			kinds = append(kinds, fmt.Sprint(f.Kind, f.Zoids))
		}
		return fmt.Sprint(kinds, packtest.Get[int](t, a.Conn, "SELECT count(*) FROM relpack.verify() AS found WHERE found::text LIKE '%current_object%'"))
	}
	if found := verified(); found != "[] 0" {
		t.Error(found)
	}
	packtest.Run(t, a.Conn, "DELETE FROM current_object WHERE zoid = 1")
	r := s.check(t, fault.ExitRefused)
	if r.UndecodableCount != 1 || r.Undecodable[0].Kind != "uncurrent" || r.Undecodable[0].Name != "root.ref0" {
		t.Fatalf("%+v", r.Undecodable)
	}
	var text strings.Builder
	if err := r.Write(&text); err != nil || strings.Contains(r.Error+text.String(), "decod") {
		t.Errorf("%v: %s\n%s", err, r.Error, text.String())
	}
	packtest.ExpectWords(t, r.Error, "1 live object has no current revision (current_object)")
	packtest.ExpectWords(t, text.String(), "not current", "1 live object has no current revision (current_object)")
	if text := s.broken(t, 1); !strings.Contains(text, "current_object names no revision of it") {
		t.Errorf("why: %q", text)
	}
	// All revisions of what is current in none count, and one of 1 has other references.
	if found := verified(); found != "[other_references[1] uncurrent[1]] 1" {
		t.Error(found)
	}
	packtest.Run(t, a.Conn, "INSERT INTO current_object (zoid, tid) SELECT zoid, max(tid) FROM object_state WHERE zoid = 1 GROUP BY zoid")
	s.check(t, fault.ExitDone)
	// Undone, and the undo undone: restored then, in the order of transactions but for the last.
	a.Write(t, 0, map[int64][]byte{1: nil})
	a.Write(t, 0, map[int64][]byte{1: record()})
	packtest.Pack(t, a.Target, dry)
	if found := verified(); found != "[] 0" {
		t.Error(found)
	}
	packtest.Run(t, a.Conn, "UPDATE current_object SET tid = object_state.tid FROM object_state WHERE object_state.zoid = 1 AND state IS NULL AND current_object.zoid = 1")
	if r := s.check(t, fault.ExitRefused); r.UndecodableCount != 1 || r.Undecodable[0].Kind != "uncurrent" {
		t.Errorf("%+v", r.Undecodable)
	}
	if found := verified(); !strings.Contains(found, "uncurrent[1]] 1") {
		t.Error(found)
	}
	// Set back to one that has a state, from one that has none.
	packtest.Run(t, a.Conn, "DELETE FROM object_state WHERE zoid = 1 AND tid = (SELECT max(tid) FROM object_state WHERE zoid = 1)")
	s.check(t, fault.ExitRefused)
	packtest.Run(t, a.Conn, `UPDATE current_object SET tid = object_state.tid FROM object_state
		WHERE object_state.zoid = 1 AND current_object.zoid = 1 AND object_state.tid = (SELECT max(tid) FROM object_state WHERE zoid = 1 AND state IS NOT NULL)`)
	for _, when := range []string{"since", "by a pack"} {
		if text := s.broken(t, 1); text != "" {
			t.Errorf("%s: why: %q", when, text)
		}
		s.check(t, fault.ExitDone)
		if found := verified(); strings.Contains(found, "empty") {
			t.Errorf("%s: %s", when, found)
		}
		packtest.Pack(t, a.Target, dry)
	}
}

// By hand, for instance: a client loads nothing.
func TestAStateThatWasEmptiedIsDamageForAVerificationAsWell(t *testing.T) {
	t.Parallel()
	a := packtest.NewHistoryAlbum(t, zodbtest.Bushy, true)
	s, dry := storage{a.Target, a.Conn}, packtest.Everything
	dry.DryRun, dry.Days = true, 15
	packtest.Pack(t, a.Target, dry)
	says := func(want string) {
		t.Helper()
		r, err := verify.Run(t.Context(), a.Target, packtest.VerifyOptions(false), packtest.Log(t))
		var found []string
		for _, f := range r.Findings {
			found = append(found, fmt.Sprint(f.Severity, " ", f.Kind, f.Zoids))
		}
		if got := strings.Join(found, ", "); got != want || (err == nil) != (want == "") {
			t.Errorf("%q, want %q: %v", got, want, err)
		}
	}
	s.check(t, fault.ExitDone)
	says("")
	// Only old revisions of 1 refer to 3, whose creation was undone.
	a.Write(t, 0, map[int64][]byte{3: nil})
	packtest.Pack(t, a.Target, dry)
	s.check(t, fault.ExitDone)
	says("")
	packtest.Run(t, a.Conn, "UPDATE object_state SET state = NULL, state_size = 0 WHERE zoid = 4")
	for _, when := range []string{"since", "by a pack"} {
		if r := s.check(t, fault.ExitRefused); r.UndecodableCount != 1 || r.Undecodable[0].Zoid != 4 {
			t.Errorf("%s: %+v", when, r.Undecodable)
		}
		if when == "by a pack" {
			says("damage empty[4]")
		}
		packtest.Pack(t, a.Target, dry)
	}
}

// What was written since the last pack, and garbage that was attached again, is alive by
// that alone.
func TestWhatNobodyCanLoadIsToldOfWhatIsNew(t *testing.T) {
	t.Parallel()
	empty, conn := packtest.NewEmptyDatabase(t)
	if err := zodbtest.CreateHistory(t.Context(), conn, zodbtest.V42); err != nil {
		t.Fatal(err)
	}
	s, h := storage{Target: target.Target{DSN: empty.DSN}, conn: conn}, zodbtest.History{Conn: conn, Version: zodbtest.V42}
	if r := program.Run(t, "migrate", "up", "-q", "--dsn", s.DSN); r.Code != 0 {
		t.Fatal(r)
	}
	commit := func(objects map[int64][]byte) {
		t.Helper()
		if _, err := h.Commit(t.Context(), 0, objects); err != nil {
			t.Fatal(err)
		}
	}
	commit(map[int64][]byte{0: record(1), 1: record(), 2: record(), 5: record()})
	program.Run(t, "pack", "--dry-run", "--days", "-1", "--dsn", s.DSN)
	commit(map[int64][]byte{0: record(1, 2, 3), 1: record(), 3: record(), 4: record()})
	s.check(t, fault.ExitDone)
	packtest.Run(t, conn, "DELETE FROM current_object WHERE zoid > 0")
	r := s.check(t, fault.ExitRefused)
	var told []int64
	for _, u := range r.Undecodable {
		if u.Kind == "uncurrent" {
			told = append(told, u.Zoid)
		}
	}
	if !slices.Equal(told, []int64{1, 2, 3}) || r.UndecodableCount != 3 {
		t.Errorf("%v %+v", told, r.Undecodable)
	}
}

// Undo and readers of the past need the files of older revisions.
func TestTheFileOfAnOlderRevisionIsMissedByAllWhoLook(t *testing.T) {
	t.Parallel()
	a := packtest.NewHistoryAlbum(t, zodbtest.Bushy, true)
	packtest.PackWithGrace(t, a.Target, 5)
	whole := []string{"--dsn", a.DSN, "--blob-dir", a.BlobDir}
	packtest.ExpectWords(t, program.Run(t, append([]string{"check"}, whole...)...).Stdout, "the files of all 3 revisions of 2 live blobs are there")
	path := zodbtest.BlobPath(a.BlobDir, a.Layout, 2, a.Second)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	says := func(words ...string) {
		t.Helper()
		for _, command := range []string{"check", "verify", "blobs"} {
			r := program.Run(t, append([]string{command}, whole...)...)
			packtest.ExpectWords(t, r.Stdout, words...)
			if code := map[string]int{"check": 4, "verify": 4}[command]; r.Code != code {
				t.Errorf("%s: exit code %d, want %d: %s", command, r.Code, code, r.Stderr)
			}
		}
	}
	says("older revisions")
	relative, err := filepath.Rel(a.BlobDir, path)
	if err != nil {
		t.Fatal(err)
	}
	packtest.ExpectWords(t, program.Run(t, append([]string{"check"}, whole...)...).Stdout, "1 live blob", "root.ref0.ref0  (zoid 2 ZODB.blob.Blob)", relative)
	r := (storage{Target: a.Target, conn: a.Conn}).check(t, fault.ExitRefused)
	if b := r.Blobs; b.Missing != 0 || b.MissingOlder != 1 || b.FirstOlder[0].Zoid != 2 || b.FirstOlder[0].Files[0] != (check.File{Tid: a.Second, Path: relative}) {
		t.Errorf("%+v", b)
	}
	// One blob whose current file is gone as well is counted once.
	if err := os.Remove(zodbtest.BlobPath(a.BlobDir, a.Layout, 2, a.Now)); err != nil {
		t.Fatal(err)
	}
	r = (storage{Target: a.Target, conn: a.Conn}).check(t, fault.ExitRefused)
	if b := r.Blobs; b.Missing != 1 || b.MissingOlder != 0 || len(b.First[0].Files) != 2 || b.First[0].Files[0].Tid != a.Now {
		t.Errorf("%+v", b)
	}
	if text := (storage{Target: a.Target, conn: a.Conn}).broken(t, 2); !strings.Contains(text, "its file ") || !strings.Contains(text, "1 older revision") {
		t.Errorf("why: %q", text)
	}
	if r := program.Run(t, append([]string{"blobs"}, whole...)...); !strings.Contains(r.Stdout, "1 live blob;") || strings.Contains(r.Stdout, "older") {
		t.Error(r.Stdout)
	}
}
