package check_test

import (
	"strings"
	"testing"

	"relpack/runner/check"
	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
	"relpack/runner/internal/program"
	"relpack/runner/internal/zodbtest"
)

func TestASoundStorageIsSound(t *testing.T) {
	t.Parallel()
	s := newStorage(t, garden())
	if r := s.check(t, fault.ExitDone); r.Outcome != "sound" || r.LostCount+r.UndecodableCount+r.References != 0 || r.UpTo == nil {
		t.Errorf("%+v", r)
	}
	packtest.CommitRecords(t, s.conn, map[int64][]byte{2: record(5), 5: record()})
	if r := s.check(t, fault.ExitDone); r.Outcome != "sound" || r.Fresh != 2 {
		t.Errorf("%+v", r)
	}
}

// lost are the zoids that a report lists, with the number of their referrers.
func lost(r *check.Report) map[int64]int64 {
	found := map[int64]int64{}
	for _, l := range r.Lost {
		found[l.Zoid] = l.Holders
	}
	return found
}

func TestAMissingObjectIsOneLineHoweverManyReferToIt(t *testing.T) {
	t.Parallel()
	objects := garden()
	var holders []int64
	for zoid := int64(100); zoid < 160; zoid++ {
		objects[zoid] = record(77)
		holders = append(holders, zoid)
	}
	objects[3] = record(append(holders, 78)...)
	objects[10] = record(79, 77) // garbage
	s := newStorage(t, objects)
	r := s.check(t, fault.ExitRefused)
	if r.LostCount != 2 || r.References != 61 || len(r.Lost) != 2 || r.Lost[0].Zoid != 77 || r.Lost[0].Holders != 60 ||
		len(r.Lost[0].First) != 3 || r.Lost[0].First[0].Name != "root.ref1.ref0.ref0" || r.Lost[1].First[0].Name != "root.ref1.ref60" {
		t.Errorf("%+v", r)
	}
	if !strings.Contains(r.Error, "2 objects are not stored") || r.Outcome != "damage" || r.Lost[0].Oid != "0x4d" {
		t.Errorf("%s: %s", r.Outcome, r.Error)
	}
}

func TestWhatIsLostSinceTheLastPackIsFoundAndWhatIsBackIsNot(t *testing.T) {
	t.Parallel()
	objects := garden()
	objects[2] = record(77, 78)
	s := newStorage(t, objects)
	for _, step := range []struct {
		what string
		do   func()
		want map[int64]int64
	}{
		{"two were never there", func() {}, map[int64]int64{77: 1, 78: 1}},
		{"one is stored", func() { packtest.CommitRecords(t, s.conn, map[int64][]byte{77: record()}) }, map[int64]int64{78: 1}},
		{"one more refers to the other", func() { packtest.CommitRecords(t, s.conn, map[int64][]byte{1: record(2, 78)}) }, map[int64]int64{78: 2}},
		{"a new one does", func() { packtest.CommitRecords(t, s.conn, map[int64][]byte{3: record(2, 4), 4: record(78)}) }, map[int64]int64{78: 3}},
		{"garbage does", func() { packtest.CommitRecords(t, s.conn, map[int64][]byte{40: record(78, 79)}) }, map[int64]int64{78: 3}},
		{"a row vanishes", func() { packtest.Run(t, s.conn, "DELETE FROM object_state WHERE zoid = 2") }, map[int64]int64{78: 2, 2: 2}},
		{"it is cut off", func() { packtest.CommitRecords(t, s.conn, map[int64][]byte{1: record(78), 3: record(4)}) }, map[int64]int64{78: 2}},
		{"nobody refers to anything", func() { packtest.CommitRecords(t, s.conn, map[int64][]byte{1: record(), 3: record()}) }, map[int64]int64{}},
	} {
		step.do()
		code := fault.ExitRefused
		if len(step.want) == 0 {
			code = fault.ExitDone
		}
		got := lost(s.check(t, code))
		for zoid, holders := range step.want {
			if got[zoid] != holders {
				t.Errorf("%s: %v, want %v", step.what, got, step.want)
			}
		}
		if len(got) != len(step.want) {
			t.Errorf("%s: %v, want %v", step.what, got, step.want)
		}
	}
	program.Pack(t, s.DSN)
	s.check(t, fault.ExitDone)
}

func TestAVanishedRowTellsSinceWhenAPackMissesIt(t *testing.T) {
	t.Parallel()
	s := newStorage(t, garden())
	packtest.Run(t, s.conn, "DELETE FROM object_state WHERE zoid = 2")
	program.Pack(t, s.DSN)
	r := s.check(t, fault.ExitRefused)
	if len(r.Lost) != 1 || r.Lost[0].Since == nil || r.Lost[0].Class != "zmodels.Document" || r.Lost[0].Holders != 2 {
		t.Errorf("%+v", r.Lost)
	}
}

func TestAnUndecodableStateIsToldWithItsByteAndARemedy(t *testing.T) {
	t.Parallel()
	objects := garden()
	objects[2] = zodbtest.Truncated(record(5, 6, 7))
	objects[3] = zodbtest.Odd(zodbtest.Document, 2)
	objects[1] = record(2, 4)
	objects[4] = nil
	objects[10] = zodbtest.Truncated(record(5, 6, 7)) // garbage
	s := newEmpty(t)
	packtest.CommitRecords(t, s.conn, objects)
	s.tryPack(t)
	for _, when := range []string{"by a pack", "since"} {
		r := s.check(t, fault.ExitRefused)
		kinds := map[string]string{}
		for _, u := range r.Undecodable {
			kinds[u.Kind] = u.Name
			if u.Reason == "" || u.Remedy == "" || (u.Offset == nil) != (u.Kind == "empty") || strings.Contains(u.Reason, "at byte") {
				t.Errorf("found %s: %+v", when, u)
			}
		}
		if r.UndecodableCount != 3 || r.Blocking != 1 || kinds["opaque"] == "" || kinds["salvaged"] != "root.ref1" || kinds["empty"] != "root.ref0.ref1" {
			t.Errorf("found %s: %d, %d blocking, %v", when, r.UndecodableCount, r.Blocking, kinds)
		}
		if !strings.Contains(r.Error, "2 live objects can't be decoded; 1 live object has no state") {
			t.Error(r.Error)
		}
		var text strings.Builder
		if err := r.Write(&text); err != nil {
			t.Fatal(err)
		}
		if when == "by a pack" && !strings.Contains(text.String(), "1 object can't be decoded or has no state: no harm, it will be deleted") {
			t.Errorf("%d in garbage: %s", r.UndecodableGarbage, &text)
		}
		s = newStorage(t, garden())
		packtest.CommitRecords(t, s.conn, objects)
	}
}

func TestOneThatWasMendedSinceIsNotTold(t *testing.T) {
	t.Parallel()
	objects := garden()
	objects[2] = zodbtest.Truncated(record(5, 6, 7))
	s := newEmpty(t)
	packtest.CommitRecords(t, s.conn, objects)
	s.tryPack(t)
	s.check(t, fault.ExitRefused)
	packtest.CommitRecords(t, s.conn, map[int64][]byte{2: record()})
	if r := s.check(t, fault.ExitDone); r.UndecodableCount != 0 {
		t.Errorf("%+v", r.Undecodable)
	}
}

// refersElsewhere is a document's record with the reference ['n', ('other', oid)].
const refersElsewhere = "\x80\x03czmodels\nDocument\n.\x80\x03}U\x01x](U\x01n(U\x05otherU\x08\x00\x00\x00\x00\x00\x00\x00\x07teQs."

func TestReferencesToOtherDatabasesAreCountedByName(t *testing.T) {
	t.Parallel()
	objects := garden()
	objects[2] = []byte(refersElsewhere)
	s := newStorage(t, objects)
	r := s.check(t, fault.ExitDone)
	if len(r.Foreign) != 1 || r.Foreign[0].Database != "other" || r.Foreign[0].References != 1 || r.Foreign[0].Named || r.Foreign[0].First.Zoid != 2 {
		t.Errorf("%+v", r.Foreign)
	}
	// Since then: 2 lost it, 3 has it, and another; nobody refers to 40.
	another := strings.NewReplacer("other", "third").Replace(refersElsewhere)
	packtest.CommitRecords(t, s.conn, map[int64][]byte{2: record(5), 3: []byte(refersElsewhere), 5: []byte(another), 40: []byte(another)})
	for _, when := range []string{"since", "by a pack"} {
		r := s.check(t, fault.ExitDone)
		if len(r.Foreign) != 2 || r.Foreign[0].Database != "other" || r.Foreign[0].References != 1 || r.Foreign[0].First.Zoid != 3 ||
			r.Foreign[1].Database != "third" || r.Foreign[1].References != 1 || r.Foreign[1].First.Zoid != 5 {
			t.Errorf("found %s: %+v", when, r.Foreign)
		}
		s.tryPack(t)
	}
}

func TestMoreThanMaxAreCountedAndNotListed(t *testing.T) {
	t.Parallel()
	objects := garden()
	var targets []int64
	for zoid := int64(500); zoid < 2600; zoid++ { // several chunks
		targets = append(targets, zoid)
	}
	objects[2] = record(targets...)
	objects[3] = record(2599)
	s := newStorage(t, objects)
	r := s.check(t, fault.ExitRefused)
	if r.LostCount != 2100 || len(r.Lost) != 5 || r.References != 2101 || r.Lost[0].Zoid != 2599 {
		t.Errorf("%d, %d of them listed, %d references, %+v", r.LostCount, len(r.Lost), r.References, lost(r))
	}
}

func TestWhileTheGraphIsBeingChangedNothingIsChecked(t *testing.T) {
	t.Parallel()
	s := newStorage(t, garden())
	packtest.Run(t, s.conn, "INSERT INTO relpack.suspect (zoid, stage) VALUES (2, 'climb')")
	if r := s.check(t, fault.ExitFailure); !strings.Contains(r.Error, "the graph is being changed") || r.Outcome != "failed" {
		t.Errorf("%+v", r)
	}
}

func TestWhereGarbageStaysThereIsNoGraphToBuild(t *testing.T) {
	t.Parallel()
	s := newEmpty(t)
	packtest.CommitRecords(t, s.conn, garden())
	if r := s.check(t, fault.ExitFailure); !strings.Contains(r.Error, "it builds the graph") {
		t.Errorf("%+v", r)
	}
	s.KeepsGarbage = true
	if r := s.check(t, fault.ExitFailure); !strings.Contains(r.Error, `With "pack-gc false" packs build none`) {
		t.Errorf("%+v", r)
	}
}

// What is not believed is not called sound.
func TestAGraphInDoubtIsNotCalledSound(t *testing.T) {
	t.Parallel()
	s := newStorage(t, garden())
	packtest.Run(t, s.conn, "VACUUM FULL object_state")
	if r := s.check(t, fault.ExitDone); r.Outcome != "uncertain" || !strings.Contains(r.Uncertain, "rewritten") {
		t.Errorf("%+v", r)
	}
}

// What refuses every pack is told as a pack tells it.
func TestWhatRefusesEveryPackIsNoSoundStorage(t *testing.T) {
	t.Parallel()
	for do, says := range map[string]string{
		"ALTER TABLE object_state DISABLE TRIGGER relpack_report_insert":              `triggers of relpack are missing or disabled: relpack_report_insert. Run "relpack migrate up": it installs them again`,
		"CREATE PUBLICATION everything FOR ALL TABLES":                                "the publication everything includes relpack's tables",
		"CREATE RULE off AS ON DELETE TO relpack.object DO NOTHING":                   "others may decide what relpack deletes",
		"CREATE TABLE heir () INHERITS (object_state)":                                "public.object_state is no plain table",
		"DELETE FROM object_state WHERE zoid = 0":                                     "the storage has no root object (zoid 0): everything would look like garbage. Restore object 0 from a backup",
		"UPDATE object_state SET state = NULL WHERE zoid = 0":                         "the root object (zoid 0) has no state: everything would look like garbage. Restore the state of object 0 from a backup",
		"DELETE FROM object_state":                                                    "the storage is empty",
		"DROP FUNCTION lock_objects_and_detect_conflicts; DROP TABLE commit_row_lock": "how RelStorage locks in this database is not known",
		"CREATE RULE hold AS ON DELETE TO object_state DO INSTEAD NOTHING":            "rules change what a DELETE does: hold on public.object_state. Drop them",
		"CREATE TABLE note (zoid bigint REFERENCES object_state ON DELETE CASCADE)":   "foreign keys would change rows of other tables when garbage is deleted: note_zoid_fkey",
	} {
		t.Run(do, func(t *testing.T) {
			t.Parallel()
			s := newStorage(t, garden())
			packtest.Run(t, s.conn, do)
			r := s.check(t, fault.ExitRefused)
			var text strings.Builder
			if err := r.Write(&text); err != nil || r.Outcome == "sound" || r.Outcome == "uncertain" || strings.Contains(r.Error+text.String(), "pack --dry-run") ||
				!strings.Contains(r.Error, "every pack is refused: "+says) || !strings.Contains(text.String(), says) {
				t.Errorf("%v: %s\n%s", err, r.Error, text.String())
			}
			if p := program.Run(t, "pack", "--quiet", "--dry-run", "--dsn", s.DSN); p.Code != fault.ExitRefused {
				t.Errorf("%+v", p)
			}
		})
	}
}
