package pack_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
	"relpack/runner/pack"
)

// undoGives is the state that an undo of a transaction would give an object: NULL
// un-creates it.
func undoGives(t *testing.T, conn *pgx.Conn, zoid, tid int64) string {
	t.Helper()
	return packtest.Get[string](t, conn, `SELECT coalesce(encode(before.state, 'hex'), 'NULL')
		FROM object_state AS undone
		LEFT JOIN object_state AS before ON before.zoid = undone.zoid AND before.tid = undone.prev_tid
		WHERE undone.zoid = $1 AND undone.tid = $2`, zoid, tid)
}

// beforeTheDelete does what another session commits when a batch is judged, and its
// DELETE does not see it any more.
func beforeTheDelete(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	packtest.Run(t, conn, `CREATE TABLE done (); CREATE FUNCTION meanwhile() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $f$
		BEGIN
			IF current_setting('application_name') LIKE 'relpack%' AND NOT EXISTS (SELECT FROM done) THEN
				INSERT INTO done DEFAULT VALUES;
				`+sql+`
			END IF;
			RETURN NULL;
		END $f$;
		CREATE TRIGGER meanwhile BEFORE DELETE ON object_state FOR EACH STATEMENT EXECUTE FUNCTION meanwhile()`)
}

func threeRevisions(t *testing.T, h zodbtest.History) (tids [3]int64) {
	t.Helper()
	for i, days := range []float64{10, 9, 8} {
		tids[i] = store(t, h, daysAgo(days), map[int64][]byte{7: zodbtest.Record(zodbtest.Document, int64(i))})
	}
	store(t, h, daysAgo(0.5), map[int64][]byte{0: zodbtest.Record(zodbtest.Document, 7)})
	return tids
}

// One COMMIT of copyTransactionsFrom restores many transactions.
func TestWhatIsRestoredBesideATrimCanBeUndone(t *testing.T) {
	t.Parallel()
	file, h := newTrimmed(t, zodbtest.V42)
	threeRevisions(t, h)
	restored, later := daysAgo(9.5), daysAgo(1)
	beforeTheDelete(t, h.Conn, fmt.Sprintf(`
		INSERT INTO transaction (tid, username, description) VALUES (%[1]d, '', ''), (%[2]d, '', '');
		INSERT INTO object_state VALUES (7, %[1]d, (SELECT tid FROM current_object WHERE zoid = 7), md5('r'), 1, 'r');
		UPDATE current_object SET tid = %[1]d WHERE zoid = 7;
		INSERT INTO object_state VALUES (7, %[2]d, (SELECT tid FROM current_object WHERE zoid = 7), md5('s'), 1, 's');
		UPDATE current_object SET tid = %[2]d WHERE zoid = 7;`, restored, later))
	if _, err := pack.Run(t.Context(), file, trimDays(5), packtest.Log(t)); err != nil {
		t.Fatal(err)
	}
	if got := undoGives(t, h.Conn, 7, later); got == "NULL" {
		t.Error("undo of a transaction later than the pack time un-creates the object")
	}
}

// The key of current_object does not tell: it names another one again. Here all of it
// is undone with the batch, which is tried again.
func TestNothingIsTrimmedThatALaterRevisionNamesSinceTheBatchWasJudged(t *testing.T) {
	t.Parallel()
	file, h := newTrimmed(t, zodbtest.V42)
	tids := threeRevisions(t, h)
	later := daysAgo(1)
	beforeTheDelete(t, h.Conn, fmt.Sprintf(`
		INSERT INTO transaction (tid, username, description) VALUES (%[2]d, '', '');
		INSERT INTO object_state VALUES (7, %[2]d, %[1]d, md5('s'), 1, 's');
		UPDATE current_object SET tid = %[2]d WHERE zoid = 7;`, tids[1], later))
	file.CommitLockTimeout = time.Second
	_, err := pack.Run(t.Context(), file, trimDays(5), packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "remove old revisions", "somebody restores")
	if got := allRevisions(t, h.Conn).Revisions[7]; len(got) != 3 {
		t.Errorf("there are %v", got)
	}
}

// One that is restored meanwhile is not marked.
func TestNothingIsTrimmedThatARestoredRevisionNamesWhichCanBeUndone(t *testing.T) {
	t.Parallel()
	file, h := newTrimmed(t, zodbtest.V42)
	tids := threeRevisions(t, h)
	beforeTheDelete(t, h.Conn, fmt.Sprintf(`
		INSERT INTO transaction (tid, username, description) VALUES (%[2]d, '', '');
		INSERT INTO object_state VALUES (7, %[2]d, %[1]d, md5('s'), 1, 's');`, tids[1], daysAgo(8.5)))
	file.CommitLockTimeout = time.Second
	_, err := pack.Run(t.Context(), file, trimDays(5), packtest.Log(t))
	packtest.ExpectError(t, err, fault.ExitRefused, "remove old revisions", "somebody restores")
	if got := allRevisions(t, h.Conn).Revisions[7]; len(got) != 3 {
		t.Errorf("there are %v", got)
	}
}

// The application saw the older revision, and wrote on.
func TestUndoAfterATrimGivesTheStateOfAnObjectThatWasSetBackAndWrittenAgain(t *testing.T) {
	t.Parallel()
	file, h := newTrimmed(t, zodbtest.V42)
	tids := threeRevisions(t, h)
	packtest.Run(t, h.Conn, "UPDATE current_object SET tid = $1 WHERE zoid = 7", tids[1])
	later := store(t, h, daysAgo(0.4), map[int64][]byte{7: zodbtest.Record(zodbtest.Document)})
	before := undoGives(t, h.Conn, 7, later)
	if _, err := pack.Run(t.Context(), file, trimDays(5), packtest.Log(t)); err != nil {
		t.Fatal(err)
	}
	if after := undoGives(t, h.Conn, 7, later); after != before {
		t.Errorf("undo of a transaction later than the pack time gives %s, gave %s", after, before)
	}
}

// Without its key nothing but what relpack looks at protects current_object.
func TestARevisionThatBecomesCurrentBesideATrimStays(t *testing.T) {
	t.Parallel()
	for _, without := range []string{"ALTER TABLE current_object DROP CONSTRAINT current_object_zoid_tid_fkey",
		"ALTER TABLE object_state DISABLE TRIGGER ALL"} {
		file, h := newTrimmed(t, zodbtest.V42)
		tids := threeRevisions(t, h)
		beforeTheDelete(t, h.Conn, fmt.Sprintf("UPDATE current_object SET tid = %d WHERE zoid = 7;", tids[1]))
		packtest.Run(t, h.Conn, `DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_constraint WHERE conname = 'current_object_zoid_tid_fkey') THEN
			RAISE 'no such key'; END IF; END $$`)
		packtest.Run(t, h.Conn, without)
		_, err := pack.Run(t.Context(), file, trimDays(5), packtest.Log(t))
		t.Log(err)
		if n := packtest.Get[int](t, h.Conn, `SELECT count(*) FROM current_object WHERE zoid = 7
			AND NOT EXISTS (SELECT FROM object_state WHERE object_state.zoid = 7 AND object_state.tid = current_object.tid)`); n > 0 {
			t.Errorf("%s: the current revision is gone", without)
		}
	}
}

func TestATrimKnowsThatItsPackLockIsGone(t *testing.T) {
	t.Parallel()
	for _, release := range []string{"BEGIN; SELECT relpack.release_pack_lock(); ROLLBACK", "SELECT pg_advisory_unlock_all()"} {
		_, h := newTrimmed(t, zodbtest.V42)
		tids := threeRevisions(t, h)
		packtest.Run(t, h.Conn, "SELECT relpack.try_pack_lock()")
		packtest.Run(t, h.Conn, "SELECT relpack.trim_settle()")
		packtest.Run(t, h.Conn, "SELECT relpack.trim_mark($1, 0, 100)", daysAgo(5))
		if _, err := h.Conn.Exec(t.Context(), release); err != nil {
			t.Fatal(err)
		}
		_, err := h.Conn.Exec(t.Context(), "SELECT relpack.trim_batch($1, '{7}', ARRAY[$2::bigint])", daysAgo(5), tids[1])
		t.Log(release)
		expectRaised(t, err, "RP002", "does not hold the pack lock")
	}
}

// A dump is restored table by table, and keys come last.
func TestNothingIsTrimmedWhoseTransactionsAreNotThere(t *testing.T) {
	t.Parallel()
	file, h := newTrimmed(t, zodbtest.V42)
	tids := threeRevisions(t, h)
	packtest.Run(t, h.Conn, "ALTER TABLE object_state DROP CONSTRAINT object_state_tid_fkey, DROP CONSTRAINT object_state_prev_tid_fkey")
	packtest.Run(t, h.Conn, "CREATE TABLE later AS SELECT * FROM transaction WHERE tid > 0")
	packtest.Run(t, h.Conn, "DELETE FROM transaction WHERE tid > 0 AND tid < $1", daysAgo(1))
	_, err := pack.Run(t.Context(), file, trimDays(5), packtest.Log(t))
	t.Log(err)
	packtest.Run(t, h.Conn, "INSERT INTO transaction SELECT * FROM later ON CONFLICT DO NOTHING")
	if packed := packtest.Get[bool](t, h.Conn, "SELECT packed FROM transaction WHERE tid = $1", tids[2]); !packed && undoGives(t, h.Conn, 7, tids[2]) == "NULL" {
		t.Error("a transaction that is not marked un-creates the object when it is undone")
	}
}

// RelStorage's trigger names blob_chunk without its schema, and counts there.
func TestALargeObjectThatAKeptRevisionNamesStaysWhateverTheSearchPath(t *testing.T) {
	t.Parallel()
	file, h := newTrimmed(t, zodbtest.V42)
	newDiary(t, h) // an undo has given object 2 its first large objects again
	packtest.Run(t, h.Conn, "DO $$ BEGIN EXECUTE format('CREATE SCHEMA %I', current_user); "+
		"EXECUTE format('CREATE TABLE %I.blob_chunk AS SELECT * FROM public.blob_chunk WHERE tid = (SELECT min(tid) FROM public.blob_chunk)', current_user); END $$")
	if _, err := pack.Run(t.Context(), file, trimDays(5), packtest.Log(t)); err != nil {
		t.Error(err)
	}
	if after := allRevisions(t, h.Conn); len(after.Unlinked) > 0 {
		t.Errorf("large objects are gone that rows name: %v", after.Unlinked)
	}
}

// Between its vote and its finish a client has the objects' locks. An undo takes none
// of these: it writes a revision in between, which the client's does not name.
func TestACommitThatHadVotedBeforeAnUndoCanBeUndoneAfterATrimWithoutGrace(t *testing.T) {
	t.Parallel()
	file, h := newTrimmed(t, zodbtest.V42)
	tids := threeRevisions(t, h)
	voter := packtest.Session(t, file)
	packtest.Run(t, voter, "BEGIN")
	packtest.Run(t, voter, "SELECT pg_advisory_xact_lock(7)")
	if _, err := h.Undo(t.Context(), tids[2], 0); err != nil {
		t.Fatal(err)
	}
	impatient := file
	impatient.CommitLockTimeout = 2 * time.Second
	_, err := pack.Run(t.Context(), impatient, trimDays(-1), packtest.Log(t))
	t.Log(err) // to wait for the voter is all right
	packtest.Run(t, voter, "SELECT pg_advisory_xact_lock(-1)")
	var tid int64
	if err := voter.QueryRow(t.Context(), "INSERT INTO transaction (tid, username, description) SELECT max(tid) + 1, '', '' FROM transaction RETURNING tid").
		Scan(&tid); err != nil {
		t.Fatal(err)
	}
	packtest.Run(t, voter, "INSERT INTO object_state VALUES (7, $1, $2, md5('v'), 1, 'v')", tid, tids[2])
	packtest.Run(t, voter, "UPDATE current_object SET tid = $1 WHERE zoid = 7", tid)
	packtest.Run(t, voter, "COMMIT")
	if undoGives(t, h.Conn, 7, tid) == "NULL" {
		t.Error("undo of the newest transaction un-creates the object")
	}
}

// Nobody restores anything there: the message says what keeps revisions.
func TestATrimNamesWhatKeepsRevisionsForEver(t *testing.T) {
	t.Parallel()
	for words, spoil := range map[string]string{
		"rows of public.note refer to some (foreign key note_of_revision)": `
			CREATE TABLE note (zoid bigint, tid bigint, CONSTRAINT note_of_revision FOREIGN KEY (zoid, tid) REFERENCES object_state);
			INSERT INTO note SELECT zoid, tid FROM object_state`,
		"trigger or rule on transaction": "CREATE RULE unpacked AS ON UPDATE TO transaction DO INSTEAD NOTHING",
	} {
		file, h := newHistory(t, zodbtest.V42)
		for _, days := range []float64{9, 8, 7} {
			store(t, h, daysAgo(days), map[int64][]byte{0: page()})
		}
		packtest.Run(t, h.Conn, spoil)
		_, err := pack.Run(t.Context(), file, trimDays(1), packtest.Log(t))
		packtest.ExpectError(t, err, fault.ExitRefused, "remove old revisions", words)
		if n := packtest.Get[int](t, h.Conn, "SELECT count(*) FROM object_state"); n != 3 {
			t.Errorf("%s: %d revisions", words, n)
		}
	}
}
