package preserved

import (
	"testing"

	"relpack/runner/internal/pgtest"
)

// mistakes are those that a pack in plain SQL can have: a text in its statements, and
// what is there instead. Each stands for a rule that relpack has to keep.
var mistakes = []struct {
	name string
	seed uint64 // of a history that finds it
	pair [2]string
}{
	{"what a later revision names goes", 33, [2]string{"OR EXISTS (SELECT FROM object_state AS later WHERE later.zoid = stored.zoid",
		"OR EXISTS (SELECT FROM object_state AS later WHERE false"}},
	{"the newest revision up to the pack time goes", 1, [2]string{"newest.tid <= {until})", "newest.tid < {until})"}},
	{"only the newest revision of all stays", 33, [2]string{"newest.zoid = stored.zoid AND newest.tid <= {until})", "newest.zoid = stored.zoid)"}},
	{"what was set back is trimmed", 3, [2]string{"OR zoid IN (SELECT zoid FROM set_back)", ""}},
	{"what was set back is garbage like any other", 23, [2]string{" OR set_back)", ")"}},
	{"only references of newest revisions count", 1, [2]string{"kept.tid = ref.tid)",
		"kept.tid = ref.tid AND kept.tid = (SELECT max(tid) FROM object_state AS newest WHERE newest.zoid = ref.zoid))"}},
	{"only references of current revisions count", 3, [2]string{"kept.tid = ref.tid)",
		"kept.tid = ref.tid JOIN current_object ON current_object.zoid = kept.zoid AND current_object.tid = kept.tid)"}},
	{"only references of the newest revision up to the pack time count", 1, [2]string{"kept.tid = ref.tid)",
		"kept.tid = ref.tid AND kept.tid = (SELECT max(tid) FROM kept AS newest WHERE newest.zoid = ref.zoid AND newest.tid <= {until}))"}},
	{"references of revisions that go count", 1, [2]string{"\n		JOIN kept ON kept.zoid = ref.zoid AND kept.tid = ref.tid)", ")"}},
	{"what is new is no root", 14, [2]string{"WHERE tid > {until} OR set_back", "WHERE set_back"}},
	{"a deleted object refers to nothing", 7, [2]string{"kept.tid = ref.tid)",
		"kept.tid = ref.tid AND NOT EXISTS (SELECT FROM kept AS white WHERE white.zoid = ref.zoid AND white.gone))"}},
	{"revisions go before their transactions are marked", 39, [2]string{referenceOrder, ""}},
	{"every other transaction stays unmarked", 2, [2]string{"AND NOT packed", "AND false"}},
	{"later transactions are marked", 32, [2]string{"tid <= {until} AND NOT packed", "tid <= {until} + (1::bigint << 40) AND NOT packed"}},
	{"nobody looks for open transactions", 16, [2]string{"AND $2)", "AND $2 AND false)"}},
	{"what can't be read does not matter", 3, [2]string{"SELECT EXISTS (SELECT FROM kept WHERE zoid = $1", "SELECT EXISTS (SELECT FROM kept WHERE false AND zoid = $1"}},
	{"what can't be read matters although it goes", 3, [2]string{"SELECT EXISTS (SELECT FROM kept WHERE zoid = $1 AND tid = $2)", "SELECT $1::bigint + $2::bigint > 0"}},
	{"deleted objects stay where garbage does", 8, [2]string{"FROM kept WHERE gone AND", "FROM kept WHERE false AND"}},
	{"deleted objects go too early", 84, [2]string{"NOT set_back AND tid <= {until}", "NOT set_back"}},
}

// A model that finds nothing proves nothing.
func TestEveryMistakeOfAPackInPlainSQLIsFound(t *testing.T) {
	t.Parallel()
	most := uint64(pgtest.Number(t, "RELPACK_FAULT_HISTORIES", 0))
	if most == 0 {
		t.Skip("takes half a minute: make histories sets RELPACK_FAULT_HISTORIES")
	}
	var packs *reference
	w := newWorker(t, func(w *worker) packer {
		packs = newReference(t)(w).(*reference)
		return packs
	})
	for _, mistake := range mistakes {
		packs.mistake, packs.made = mistake.pair[:], false
		found := w.findFrom(t, mistake.seed, most)
		if found == 0 || !packs.made {
			t.Errorf("%s: not found by %d histories", mistake.name, most)
		} else if found != mistake.seed {
			t.Logf("%s: found by seed %d, not %d", mistake.name, found, mistake.seed)
		}
	}
}
