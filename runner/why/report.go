package why

import (
	"time"

	"relpack/runner/look"
)

// A Report says of some objects of one storage why they are alive, or not. Sizes
// are in bytes.
type Report struct {
	Storage  string `json:"storage"`
	Error    string `json:"error,omitempty"`
	ExitCode int    `json:"exit_code"`
	Version  string `json:"version"`
	// UpTo is the last transaction that the last pack knew of, Fresh how many
	// objects were written since: these were read again.
	UpTo  *time.Time `json:"up_to"`
	Fresh int64      `json:"written_since"`
	// Horizon is up to when revisions of a history-preserving storage that were
	// superseded don't count.
	Horizon *time.Time `json:"horizon,omitempty"`
	// Uncertain says why nothing is called unreachable.
	Uncertain string   `json:"uncertain,omitempty"`
	Objects   []Object `json:"objects"`
}

// An Object is the answer for one.
type Object struct {
	Zoid    int64        `json:"zoid"`
	Oid     string       `json:"oid"` // as ZODB prints it
	Class   string       `json:"class,omitempty"`
	Size    int64        `json:"size"`
	Written *time.Time   `json:"written"`
	Verdict look.Verdict `json:"verdict"`
	// Broken says why its state, or the content of a blob, can't be read.
	Broken string `json:"broken,omitempty"`
	// Name is how Python would reach it; the way is the same, object by object.
	Name      string      `json:"name,omitempty"`
	Way       []look.Step `json:"way,omitempty"`
	Referrers Referrers   `json:"referrers"`
	Without   *Without    `json:"without,omitempty"`
	Garbage   *Garbage    `json:"garbage,omitempty"`
	// Missing is since when its row is known to have vanished.
	Missing *time.Time `json:"missing_since,omitempty"`
	// Kept is what hangs on it alone where its row vanished: garbage if it is given
	// up (pack --accept-missing); nil where it was not counted.
	Kept *Count `json:"kept,omitempty"`
	// Looked is how many objects were looked at in vain, where that is why nobody
	// knows.
	Looked int `json:"looked_at,omitempty"`
}

// Referrers are the objects that refer to one.
type Referrers struct {
	Count int64      `json:"count"`
	First []Referrer `json:"first"`
}

// A Referrer refers to the object.
type Referrer struct {
	Zoid    int64        `json:"zoid"`
	Class   string       `json:"class,omitempty"`
	Verdict look.Verdict `json:"verdict"`
	look.Name
	// Full is how Python would reach the object through it; for those that are not
	// stored.
	Full string `json:"full_name,omitempty"`
}

// Without tells whether an object would be alive without another.
type Without struct {
	Zoid    int64        `json:"zoid"`
	Class   string       `json:"class,omitempty"`
	Verdict look.Verdict `json:"verdict"` // alive, unreachable, unknown, or not stored: the other
	Looked  int          `json:"looked_at"`
	Name    string       `json:"name,omitempty"`
	Way     []look.Step  `json:"way,omitempty"`
	// Garbage is what would be garbage, the one that is taken away included; nil
	// where it was not counted.
	Garbage *Count `json:"garbage,omitempty"`
}

// A Count is of objects and bytes.
type Count struct {
	Objects int64 `json:"objects"`
	Bytes   int64 `json:"bytes"`
}

// Garbage says of an unreachable object what becomes of it.
type Garbage struct {
	Since *time.Time `json:"since"` // nil: nobody knows
	// With are the unreachable objects from which it can be reached, itself
	// included.
	With     Count `json:"with"`
	Complete bool  `json:"complete"` // else there are more
	// DeletableAfter is from when on a pack with the default grace deletes it; nil
	// where it wasn't found out.
	DeletableAfter *time.Time `json:"deletable_after"`
	// SetAside says why it can't be deleted.
	SetAside string `json:"set_aside,omitempty"`
	// Chain leads to it from the unreachable object that it hangs on.
	Chain []look.Step `json:"chain"`
	// From is how Python would reach the live object that the first of the chain
	// names as its holder (__parent__).
	From string `json:"from,omitempty"`
}
