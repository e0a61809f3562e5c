package pack_test

import (
	"testing"

	"relpack/runner/internal/packtest"
	"relpack/runner/internal/zodbtest"
)

func TestADeletionThatATriggerSuppressedIsRefusedByTheTriggersName(t *testing.T) {
	t.Parallel()
	for name, trigger := range map[string]string{
		"every row": "RETURN NULL",
		"one row":   "IF old.zoid = 12 THEN RETURN NULL; END IF; RETURN old",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewGarden(t)
			all := packtest.Stored(t, conn)
			packtest.Run(t, conn, `CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN `+trigger+`; END $$;
				CREATE TRIGGER keep_it BEFORE DELETE ON object_state FOR EACH ROW EXECUTE FUNCTION keep()`)
			report := packtest.PackRefused(t, target, "public.object_state", "object_state", "keep_it")
			if report.Deleted.Objects != 0 {
				t.Errorf("%d objects were reported as deleted", report.Deleted.Objects)
			}
			packtest.ExpectStored(t, conn, all...)
			packtest.ExpectExact(t, conn)
			// What they refer to must not be taken for free: alive again, and whole.
			packtest.Commit(t, conn, packtest.Links{2: {10}})
			packtest.Run(t, conn, "DROP TRIGGER keep_it ON object_state")
			packtest.Pack(t, target, packtest.Everything)
			packtest.ExpectStored(t, conn, all...)
		})
	}
}

func TestATriggerThatLetsRowsGoKeepsNobodyFromPacking(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.Run(t, conn, `CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN old; END $$;
		CREATE TRIGGER note_it BEFORE DELETE ON object_state FOR EACH ROW EXECUTE FUNCTION note()`)
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2)
}

func TestARowThatATriggerStoresAgainIsNotTakenForDeleted(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	all := packtest.Stored(t, conn)
	packtest.Run(t, conn, `CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN INSERT INTO public.object_state SELECT old.*; RETURN NULL; END $$;
		CREATE CONSTRAINT TRIGGER again AFTER DELETE ON object_state DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW WHEN (old.zoid = 13) EXECUTE FUNCTION again()`)
	if got := packtest.Outcome(t, conn); got != "stale" {
		t.Errorf("outcome %s, want stale", got)
	}
	packtest.ExpectStored(t, conn, all...)
	packtest.Run(t, conn, "DROP TRIGGER again ON object_state")
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2)
}

func TestChunksThatATriggerKeepsAreNotLeftBehind(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.CommitRecords(t, conn, map[int64][]byte{20: zodbtest.Record(zodbtest.Blob)})
	packtest.Run(t, conn, "INSERT INTO blob_chunk (zoid, chunk_num, tid, chunk) SELECT zoid, 0, tid, lo_from_bytea(0, 'x') FROM object_state WHERE zoid = 20")
	packtest.Run(t, conn, `CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
		CREATE TRIGGER a_keep BEFORE DELETE ON blob_chunk FOR EACH ROW EXECUTE FUNCTION keep()`)
	packtest.Commit(t, conn, packtest.Links{2: nil})
	packtest.PackRefused(t, target, "blob_chunk", "a_keep")
	if got := packtest.Stored(t, conn); len(got) != 8 {
		t.Errorf("stored: %v", got)
	}
}

func TestRowsThatAnotherTableHoldsStayWithWhatTheyReach(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"NO ACTION", "RESTRICT", "NO ACTION DEFERRABLE INITIALLY DEFERRED"} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewGarden(t)
			packtest.Commit(t, conn, packtest.Links{2: nil, 50: {51}, 51: {52}, 52: nil, 53: {50}})
			packtest.Run(t, conn, "CREATE TABLE bookmark (zoid bigint CONSTRAINT bookmark_object REFERENCES object_state ON DELETE "+action+"); INSERT INTO bookmark VALUES (51)")
			report := packtest.PackRefused(t, target, "public.bookmark", "bookmark_object", "zoid 51", "1 unreachable object set aside, 1 object that hangs on it stays too, the rest is deleted")
			packtest.ExpectStored(t, conn, 0, 1, 2, 51, 52)
			if sum := report.Deleted.Objects + report.HeldBack.Objects + report.HangsOn.Objects; sum != report.Unreachable.Objects {
				t.Errorf("%d objects are accounted for, of %d", sum, report.Unreachable.Objects)
			}
			if report.Deleted.Objects != 6 {
				t.Errorf("%d objects were deleted, want 6", report.Deleted.Objects)
			}
			packtest.ExpectExact(t, conn)
			packtest.PackRefused(t, target, "bookmark_object")
			packtest.ExpectStored(t, conn, 0, 1, 2, 51, 52)
			packtest.Run(t, conn, "DELETE FROM bookmark")
			packtest.Pack(t, target, packtest.Everything)
			packtest.ExpectStored(t, conn, 0, 1, 2)
			packtest.ExpectExact(t, conn)
		})
	}
}

func TestManyRowsThatAnotherTableHoldsAreAllFound(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	garbage := packtest.Links{}
	for zoid := int64(1000); zoid < 3000; zoid++ {
		garbage[zoid] = nil
	}
	packtest.Load(t, conn, garbage)
	packtest.Commit(t, conn, packtest.Links{2: nil})
	packtest.Run(t, conn, "CREATE TABLE bookmark (zoid bigint REFERENCES object_state); INSERT INTO bookmark SELECT generate_series(1000, 2999, 10)")
	packtest.PackRefused(t, target, "200 unreachable objects", "bookmark_zoid_fkey", "zoid 1000")
	if got := packtest.Get[int](t, conn, "SELECT count(*) FROM object_state"); got != 203 {
		t.Errorf("%d objects are left, want 203", got)
	}
	packtest.ExpectExact(t, conn)
}

func TestWhatWouldChangeOtherTablesIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sql   string
		words []string
	}{
		"a key that cascades":     {"CREATE TABLE other (zoid bigint REFERENCES object_state ON DELETE CASCADE)", []string{"other", "other_zoid_fkey", "CASCADE"}},
		"a key that sets NULL":    {"CREATE TABLE other (zoid bigint REFERENCES object_state ON DELETE SET NULL)", []string{"other", "other_zoid_fkey", "SET NULL"}},
		"a key that sets default": {"CREATE TABLE other (zoid bigint DEFAULT 0 REFERENCES object_state ON DELETE SET DEFAULT)", []string{"other", "SET DEFAULT"}},
		"a key of blob_chunk":     {"CREATE TABLE other (zoid bigint, chunk_num bigint, FOREIGN KEY (zoid, chunk_num) REFERENCES blob_chunk ON DELETE CASCADE)", []string{"other", "CASCADE"}},
		"a rule":                  {"CREATE RULE keep_all AS ON DELETE TO object_state DO INSTEAD NOTHING", []string{"keep_all", "object_state"}},
		"a rule on blob_chunk":    {"CREATE RULE keep_all AS ON DELETE TO blob_chunk DO INSTEAD NOTHING", []string{"keep_all", "blob_chunk"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := packtest.NewGarden(t)
			all := packtest.Stored(t, conn)
			packtest.Run(t, conn, c.sql)
			packtest.PackRefused(t, target, c.words...)
			_, err := conn.Exec(t.Context(), "SELECT relpack.sweep(1000, NULL)")
			packtest.ExpectRefusal(t, err, c.words...)
			packtest.ExpectStored(t, conn, all...)
		})
	}
}

// A policy that does not apply to who packs is none of his business.
func TestAPolicyCountsOnlyForWhomItApplies(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewGarden(t)
	packtest.Run(t, conn, "ALTER TABLE object_state ENABLE ROW LEVEL SECURITY; CREATE POLICY none ON object_state USING (false)")
	packtest.Pack(t, target, packtest.Everything)
	packtest.ExpectStored(t, conn, 0, 1, 2)
}

// The only statement that deletes objects is where all that protects them is.
func TestOneFunctionDeletesObjects(t *testing.T) {
	t.Parallel()
	_, conn := packtest.NewStorage(t)
	for _, name := range packtest.Lines(t, conn, `
		SELECT proname::text
		FROM pg_proc
		WHERE pronamespace = 'relpack'::regnamespace AND prosrc ~* '(DELETE\s+FROM|TRUNCATE|UPDATE)\s+(ONLY\s+)?(public\.)?object_state'`) {
		// Objects go in the one, revisions in the other.
		if name != "sweep_delete" && name != "trim_delete" {
			t.Errorf("%s changes object_state", name)
		}
	}
}
