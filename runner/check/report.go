package check

import (
	"encoding/json"
	"slices"
	"time"

	"relpack/runner/figures"
)

// A Report says what is broken in one storage, and where. Of each kind all are
// counted, and the first are listed. Sizes are in bytes. In JSON a count is null where it
// was not found out.
type Report struct {
	Storage  string `json:"storage"`
	Error    string `json:"error,omitempty"`
	ExitCode int    `json:"exit_code"`
	Version  string `json:"version"`
	// Outcome is sound, uncertain, damage, interrupted, failed or refused: the check, or every pack.
	Outcome string `json:"outcome"`
	// UpTo is the last transaction that the last pack knew of, Fresh how many
	// objects were written since: these were read again.
	UpTo  *time.Time `json:"up_to"`
	Fresh int64      `json:"written_since"`
	// Horizon is up to when revisions of a history-preserving storage that were
	// superseded don't count.
	Horizon *time.Time `json:"horizon,omitempty"`
	// Uncertain says why not all may have been found.
	Uncertain string `json:"uncertain,omitempty"`
	// Refusal says why every pack is refused until somebody acts.
	Refusal string `json:"refusal,omitempty"`

	// Lost are objects that are not stored and that live ones refer to; those with
	// most referrers first.
	Lost      []Lost `json:"lost"`
	LostCount int64  `json:"lost_count"`
	// References is how many live objects refer to them.
	References int64 `json:"references_to_lost"`

	// Undecodable are live objects that can't be loaded: their state can't be decoded, they
	// have none, or no current revision.
	Undecodable      []Undecodable `json:"undecodable"`
	UndecodableCount int64         `json:"undecodable_count"`
	Stateless        int64         `json:"stateless_count"` // of them: they have no state
	Uncurrent        int64         `json:"uncurrent_count"` // of them: current_object names no revision that can be loaded
	Blocking         int64         `json:"blocking_count"`  // of them: they keep relpack from deleting
	// UndecodableGarbage is how many unreachable objects are so.
	UndecodableGarbage int64 `json:"undecodable_garbage"`

	Blobs   Blobs     `json:"blobs"`
	Foreign []Foreign `json:"foreign_databases"`

	Seconds    float64         `json:"seconds"`
	Phases     []figures.Phase `json:"phases"`
	PeakMemory int64           `json:"peak_memory"` // of this process
}

// Lost is an object that is not stored.
type Lost struct {
	Zoid  int64      `json:"zoid"`
	Oid   string     `json:"oid"`
	Class string     `json:"class,omitempty"` // as last read
	Since *time.Time `json:"since,omitempty"` // a pack found that its row had vanished
	// Holders is how many live objects refer to it.
	Holders int64  `json:"holders_count"`
	First   []Spot `json:"holders"`
}

// A Spot is where something is off.
type Spot struct {
	Zoid  int64  `json:"zoid"`
	Class string `json:"class,omitempty"`
	Name  string `json:"name,omitempty"` // how Python would reach it, or what it refers to
}

// Undecodable is an object whose state can't be decoded.
type Undecodable struct {
	Spot
	Kind   string `json:"kind"` // opaque, salvaged, empty or uncurrent
	Reason string `json:"reason"`
	Offset *int   `json:"offset,omitempty"` // the byte at fault
	Remedy string `json:"remedy"`
}

// Blobs are live ones whose content is gone.
type Blobs struct {
	// Files tells whether files were looked for, else Why says why not, and Needed whether
	// there are live blobs that must have some.
	Files   bool          `json:"files_looked_for"`
	Why     string        `json:"why_not,omitempty"`
	Needed  bool          `json:"files_needed"`
	Found   int64         `json:"files_found"` // of all stored revisions
	Missing int64         `json:"missing_count"`
	First   []MissingBlob `json:"missing"`
	// MissingOlder are others, of which only superseded revisions that are stored have none.
	MissingOlder int64         `json:"missing_older_count"`
	FirstOlder   []MissingBlob `json:"missing_older"`
	live         int64         // so many were looked for
	// uncertain is set where none was found, though the graph may not match the storage.
	uncertain bool
	// asked is set once blobs were looked for, unseen where this role may not read
	// blob_chunk.
	asked, unseen bool
	// InDatabase is set if blob_chunk has rows, LargeObjects is how many live blobs
	// have rows there whose large object is gone, or no row where blobs are in the database.
	InDatabase   bool   `json:"in_database"`
	LargeObjects int64  `json:"missing_large_objects_count"`
	FirstLarge   []Spot `json:"missing_large_objects"`
}

// A MissingBlob lacks files of revisions that are stored.
type MissingBlob struct {
	Spot
	Files []File `json:"files"`       // the newest first
	Count int64  `json:"files_count"` // of all that it lacks
}

// A File is of one revision of a blob.
type File struct {
	Tid  int64  `json:"tid"`
	Path string `json:"path"` // below the blob directory
}

// Foreign counts references of live objects to another database.
type Foreign struct {
	Database   string `json:"database"`
	References int64  `json:"references"`
	Named      bool   `json:"named"` // the configuration file has it
	First      Spot   `json:"first"`
}

// did tells whether a step came to its end.
func (r *Report) did(step string) bool {
	return slices.ContainsFunc(r.Phases, func(p figures.Phase) bool { return p.Name == step })
}

// known is a count, or nil: nobody knows.
func known(n int64, known bool) *int64 {
	if known {
		return &n
	}
	return nil
}

// MarshalJSON has null for what was not counted.
func (r *Report) MarshalJSON() ([]byte, error) {
	type plain Report
	states := r.did("states") && r.did("current revisions")
	return json.Marshal(struct {
		*plain
		Fresh              *int64 `json:"written_since"`
		LostCount          *int64 `json:"lost_count"`
		References         *int64 `json:"references_to_lost"`
		UndecodableCount   *int64 `json:"undecodable_count"`
		Stateless          *int64 `json:"stateless_count"`
		Uncurrent          *int64 `json:"uncurrent_count"`
		Blocking           *int64 `json:"blocking_count"`
		UndecodableGarbage *int64 `json:"undecodable_garbage"`
	}{(*plain)(r), known(r.Fresh, r.did("read")), known(r.LostCount, r.did("references")), known(r.References, r.did("references")),
		known(r.UndecodableCount, states), known(r.Stateless, states), known(r.Uncurrent, states), known(r.Blocking, states), known(r.UndecodableGarbage, states)})
}

// MarshalJSON has null for what was not counted: no file was looked for, though there may
// be some, or blob_chunk can't be read.
func (b Blobs) MarshalJSON() ([]byte, error) {
	type plain Blobs
	files := b.asked && !b.uncertain && (b.Files || !b.Needed)
	return json.Marshal(struct {
		plain
		Found        *int64 `json:"files_found"`
		MissingOlder *int64 `json:"missing_older_count"`
		Missing      *int64 `json:"missing_count"`
		LargeObjects *int64 `json:"missing_large_objects_count"`
	}{plain(b), known(b.Found, files), known(b.MissingOlder, files), known(b.Missing, files), known(b.LargeObjects, b.asked && !b.unseen)})
}

// unread is how many live objects have a state that can't be decoded.
func (r *Report) unread() int64 { return r.UndecodableCount - r.Stateless - r.Uncurrent }

// alike are those that are listed together with a kind.
func (r *Report) alike(kind string) (some []Undecodable) {
	other := func(kind string) bool { return kind == "empty" || kind == "uncurrent" }
	for _, u := range r.Undecodable {
		if u.Kind == kind || !other(u.Kind) && !other(kind) {
			some = append(some, u)
		}
	}
	return some
}

// off tells whether something is broken.
func (r *Report) off() bool {
	return r.LostCount > 0 || r.UndecodableCount > 0 || r.Blobs.Missing > 0 || r.Blobs.MissingOlder > 0 || r.Blobs.LargeObjects > 0
}
