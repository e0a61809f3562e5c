package graph_test

import (
	"testing"

	"relpack/runner/fault"
	"relpack/runner/internal/packtest"
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
			packtest.Pack(t, target, packtest.Everything)
			lose(t, conn, lost...)
			for _, init := range []bool{false, true} {
				o := packtest.Everything
				o.Init = init
				_, err := pack.Run(t.Context(), target, o, packtest.Log(t))
				packtest.ExpectError(t, err, fault.ExitRefused, "zoid 1", "--accept-missing")
			}
			if _, err := verify.Run(t.Context(), target, packtest.VerifyOptions(true), packtest.Log(t)); err == nil {
				t.Error("verify --repair finds nothing wrong")
			}
			_, err := pack.Run(t.Context(), target, packtest.Everything, packtest.Log(t))
			packtest.ExpectError(t, err, fault.ExitRefused, "zoid 1", "--accept-missing")
			packtest.ExpectStored(t, conn, 0, 2, 3, 5)
			packtest.Restore(t, conn, 1, 5, packtest.Document(2))
			packtest.Pack(t, target, packtest.Everything)
			packtest.ExpectStored(t, conn, 0, 1, 2, 3, 5)
			expectMissing(t, conn, "")
			packtest.ExpectExact(t, conn)
		})
	}
}

func TestAHoleInALostGraphCanBeGivenUp(t *testing.T) {
	t.Parallel()
	target, conn := newHole(t)
	packtest.Pack(t, target, packtest.Everything)
	lose(t, conn, "TRUNCATE relpack.object, relpack.object_inref")
	packtest.Pack(t, target, accepting(1))
	packtest.ExpectStored(t, conn, 0, 5)
	packtest.ExpectExact(t, conn)
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
			target, conn := packtest.NewStorage(t)
			packtest.Commit(t, conn, packtest.Links{0: {1}, 1: {2}, 2: {3}, 3: {4}, 4: {2}})
			packtest.Pack(t, target, packtest.Everything)
			switch vanish {
			case "doubt":
				packtest.SetTriggers(t, conn, "DISABLE")
				packtest.Run(t, conn, remove)
				packtest.SetTriggers(t, conn, "ENABLE ALWAYS")
			case "unnoticed":
				packtest.Unnoticed(t, conn, remove)
			case "reload":
				packtest.Run(t, conn, `CREATE TABLE dumped AS SELECT * FROM object_state WHERE zoid <> 2;
					TRUNCATE object_state CASCADE; INSERT INTO object_state SELECT * FROM dumped`)
			}
			remedy := "relpack pack --dry-run"
			if vanish == "unnoticed" {
				remedy = "relpack verify --repair"
			}
			o := packtest.Everything
			o.Init = true
			_, err := pack.Run(t.Context(), target, o, packtest.Log(t))
			packtest.ExpectError(t, err, fault.ExitRefused, "zoid 2", remedy)
			if vanish != "unnoticed" {
				packtest.DryRun(t, target)
			} else if _, err := verify.Run(t.Context(), target, packtest.VerifyOptions(true), packtest.Log(t)); fault.ExitCode(err) != fault.ExitRefused {
				t.Errorf("verify: %v", err)
			}
			_, err = pack.Run(t.Context(), target, o, packtest.Log(t))
			packtest.ExpectError(t, err, fault.ExitRefused, "zoid 2", "--accept-missing")
			packtest.Pack(t, target, packtest.Everything)
			packtest.ExpectStored(t, conn, 0, 1, 3, 4)
			o.AcceptMissing = []int64{2}
			packtest.Pack(t, target, o)
			packtest.ExpectStored(t, conn, 0, 1)
		})
	}
}

// A storage of other objects is no storage with holes, once a pack has seen it.
func TestAnotherStorageInPlaceOfTheOldOneIsBuiltAnew(t *testing.T) {
	t.Parallel()
	target, conn := packtest.NewStorage(t)
	packtest.Commit(t, conn, packtest.Links{0: {1}, 1: {2}, 2: {3}, 3: {1}})
	packtest.Pack(t, target, packtest.Everything)
	packtest.Run(t, conn, "TRUNCATE object_state CASCADE")
	packtest.Commit(t, conn, packtest.Links{0: {11}, 11: {12}, 12: {11}})
	packtest.DryRun(t, target)
	o := packtest.Everything
	o.Init = true
	packtest.Pack(t, target, o)
	packtest.ExpectStored(t, conn, 0, 11, 12)
	expectMissing(t, conn, "")
	packtest.ExpectExact(t, conn)
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
				o := packtest.Everything
				o.Init = init
				_, err := pack.Run(t.Context(), target, o, packtest.Log(t))
				packtest.ExpectError(t, err, fault.ExitRefused, "zoid 1", "--accept-missing ZOID")
			}
			packtest.ExpectStored(t, conn, 0, 2, 3, 4, 5, 6)
			packtest.Pack(t, target, accepting(1))
			packtest.ExpectStored(t, conn, 0, 5)
			expectMissing(t, conn, "")
			packtest.ExpectExact(t, conn)
		})
	}
}
