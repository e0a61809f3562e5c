package runner

import (
	"testing"

	"relpack/runner/fault"
	"relpack/runner/pack"
	"relpack/runner/verify"
)

// What hung on a row that vanished is known by relpack.missing alone when the
// graph itself is lost.
func TestAHoleIsKnownWhenTheGraphIsLost(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string][]string{
		"graph truncated":           {"TRUNCATE relpack.object, relpack.object_inref"},
		"restored without its data": {"TRUNCATE relpack.object, relpack.object_inref", "UPDATE relpack.storage SET graph_identity = ''"},
		"graph and storage lost":    {"TRUNCATE relpack.object, relpack.object_inref, relpack.storage"},
		"its own node":              {"DELETE FROM relpack.object WHERE zoid = 1", "DELETE FROM relpack.object_inref WHERE inref = 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := newHole(t)
			packStorage(t, target, everything)
			lose(t, conn, lost...)
			for _, init := range []bool{false, true} {
				o := everything
				o.Init = init
				_, err := pack.Run(t.Context(), target, o, testLog(t))
				expectError(t, err, fault.ExitRefused, "zoid 1", "--accept-missing")
			}
			if _, err := verify.Run(t.Context(), target, verifyOptions(true), testLog(t)); err == nil {
				t.Error("verify --repair finds nothing wrong")
			}
			_, err := pack.Run(t.Context(), target, everything, testLog(t))
			expectError(t, err, fault.ExitRefused, "zoid 1", "--accept-missing")
			expectStored(t, conn, 0, 2, 3, 5)
			restore(t, conn, 1, 5, document(2))
			packStorage(t, target, everything)
			expectStored(t, conn, 0, 1, 2, 3, 5)
			expectMissing(t, conn, "")
			expectExact(t, conn)
		})
	}
}

func TestAHoleInALostGraphCanBeGivenUp(t *testing.T) {
	t.Parallel()
	target, conn := newHole(t)
	packStorage(t, target, everything)
	lose(t, conn, "TRUNCATE relpack.object, relpack.object_inref")
	packStorage(t, target, accepting(1))
	expectStored(t, conn, 0, 5)
	expectExact(t, conn)
}

// Whoever builds the graph anew need not have looked at what is gone.
func TestNoGraphIsBuiltAnewBeforeItWasAskedForWhatIsGone(t *testing.T) {
	t.Parallel()
	const remove = "DELETE FROM object_state WHERE zoid = 2"
	for name, vanish := range map[string]string{
		"the triggers were off for a while": "doubt", "nothing tells of it": "unnoticed", "in a reload": "reload",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := newStorage(t)
			commit(t, conn, links{0: {1}, 1: {2}, 2: {3}, 3: {4}, 4: {2}})
			packStorage(t, target, everything)
			switch vanish {
			case "doubt":
				setTriggers(t, conn, "DISABLE")
				run(t, conn, remove)
				setTriggers(t, conn, "ENABLE ALWAYS")
			case "unnoticed":
				unnoticed(t, conn, remove)
			case "reload":
				run(t, conn, `CREATE TABLE dumped AS SELECT * FROM object_state WHERE zoid <> 2;
					TRUNCATE object_state CASCADE; INSERT INTO object_state SELECT * FROM dumped`)
			}
			remedy := "relpack pack --dry-run"
			if vanish == "unnoticed" {
				remedy = "relpack verify --repair"
			}
			o := everything
			o.Init = true
			_, err := pack.Run(t.Context(), target, o, testLog(t))
			expectError(t, err, fault.ExitRefused, "zoid 2", remedy)
			if vanish != "unnoticed" {
				dryRun(t, target)
			} else if _, err := verify.Run(t.Context(), target, verifyOptions(true), testLog(t)); fault.ExitCode(err) != fault.ExitRefused {
				t.Errorf("verify: %v", err)
			}
			_, err = pack.Run(t.Context(), target, o, testLog(t))
			expectError(t, err, fault.ExitRefused, "zoid 2", "--accept-missing")
			packStorage(t, target, everything)
			expectStored(t, conn, 0, 1, 3, 4)
			o.AcceptMissing = []int64{2}
			packStorage(t, target, o)
			expectStored(t, conn, 0, 1)
		})
	}
}

// A storage of other objects is no storage with holes, once a pack has seen it.
func TestAnotherStorageInPlaceOfTheOldOneIsBuiltAnew(t *testing.T) {
	t.Parallel()
	target, conn := newStorage(t)
	commit(t, conn, links{0: {1}, 1: {2}, 2: {3}, 3: {1}})
	packStorage(t, target, everything)
	run(t, conn, "TRUNCATE object_state CASCADE")
	commit(t, conn, links{0: {11}, 11: {12}, 12: {11}})
	dryRun(t, target)
	o := everything
	o.Init = true
	packStorage(t, target, o)
	expectStored(t, conn, 0, 11, 12)
	expectMissing(t, conn, "")
	expectExact(t, conn)
}

// No pack has looked at the row that vanished, and none can any more: references
// are lost, and a graph that is built anew would let go of what hung on it.
func TestAHoleThatNobodyLookedForInALostGraphCanBeGivenUp(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]string{
		"references lost":        "TRUNCATE relpack.object_inref",
		"a part of them is lost": "DELETE FROM relpack.object_inref WHERE inref = 0",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, conn := newHole(t)
			lose(t, conn, lost, "UPDATE relpack.storage SET graph_identity = ''")
			for _, init := range []bool{false, true} {
				o := everything
				o.Init = init
				_, err := pack.Run(t.Context(), target, o, testLog(t))
				expectError(t, err, fault.ExitRefused, "zoid 1", "--accept-missing ZOID")
			}
			expectStored(t, conn, 0, 2, 3, 4, 5, 6)
			packStorage(t, target, accepting(1))
			expectStored(t, conn, 0, 5)
			expectMissing(t, conn, "")
			expectExact(t, conn)
		})
	}
}
