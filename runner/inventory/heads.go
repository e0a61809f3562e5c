package inventory

import (
	"encoding/json"
	"fmt"

	"github.com/dustin/go-humanize"

	"relpack/runner/figures"
)

// Heads are unreachable objects that are in nothing unreachable: what somebody deleted.
// All other garbage is in one of them.
type Heads struct {
	Classes []HeadClass `json:"classes"`          // largest first
	Others  *HeadClass  `json:"others,omitempty"` // of all other classes
	Largest []Head      `json:"largest"`
	// Guessed is how many objects were not asked where they are in, because there are
	// so many: what refers to them was taken for that.
	Guessed int64 `json:"guessed,omitempty"`
}

// Hanging is what is in some heads, these included.
type Hanging struct {
	figures.Count
	Blobs     int64  `json:"blobs"`
	BlobBytes *int64 `json:"blob_bytes"` // of those whose size is known; nil: of none
}

// Add counts others too.
func (h *Hanging) Add(others Hanging) {
	h.Objects += others.Objects
	h.Bytes += others.Bytes
	h.Blobs += others.Blobs
	if others.BlobBytes != nil {
		sum := h.known() + others.known()
		h.BlobBytes = &sum
	}
}

// Size is how much it is, as far as that is known.
func (h Hanging) Size() int64 { return h.Bytes + h.known() }

func (h Hanging) known() int64 {
	if h.BlobBytes == nil {
		return 0
	}
	return *h.BlobBytes
}

// String is for people.
func (h Hanging) String() string {
	text := h.Count.String()
	if h.Blobs > 0 {
		text += ", " + figures.Plural(h.Blobs, "blob")
		if h.BlobBytes == nil {
			return text + " of unknown size"
		}
		text += " of " + figures.Size(*h.BlobBytes)
	}
	return text
}

// BlobText is how many blobs there are, and how long, for a table; "" for none.
func (h Hanging) BlobText() string {
	switch {
	case h.Blobs == 0:
		return ""
	case h.BlobBytes == nil:
		return humanize.Comma(h.Blobs) + ", size not known"
	}
	return humanize.Comma(h.Blobs) + ", " + figures.Size(*h.BlobBytes)
}

// HeadClass are all heads of a class.
type HeadClass struct {
	Class string `json:"class"`
	Heads int64  `json:"heads"`
	Hanging
}

// Head is one.
type Head struct {
	Zoid  int64  `json:"zoid"`
	Class string `json:"class"`
	// Name is by what the application knew it, as far as its states tell: its id behind
	// those of what it was in.
	Name string `json:"name,omitempty"`
	Hanging
}

// All is what is in all of them.
func (h *Heads) All() (all Hanging) {
	for _, c := range h.Classes {
		all.Add(c.Hanging)
	}
	if h.Others != nil {
		all.Add(h.Others.Hanging)
	}
	return all
}

// JSON is how relpack.run.cut_off has them; nil: NULL.
func (h *Heads) JSON() *string {
	if h == nil {
		return nil
	}
	text, err := json.Marshal(h)
	if err != nil { // of numbers and strings
		return nil
	}
	found := string(text)
	return &found
}

// shownHeads is how many of the largest are printed.
const shownHeads = 5

// WriteTo prints them for people.
func (h *Heads) WriteTo(line figures.LineWriter) {
	if h == nil {
		return
	}
	for i, c := range h.Classes {
		line(figures.Once("cut off", i), "%s %s  with %s", humanize.Comma(c.Heads), plainClass(c.Class), c.Hanging)
	}
	if h.Others != nil {
		line("", "%s of other classes  with %s", humanize.Comma(h.Others.Heads), h.Others.Hanging)
	}
	for i, head := range h.Largest[:min(len(h.Largest), shownHeads)] {
		text := fmt.Sprintf("zoid %d %s", head.Zoid, plainClass(head.Class))
		if head.Name != "" {
			text = fmt.Sprintf("%s (%s)", head.Name, text)
		}
		line(figures.Once("the largest", i), "%s  with %s", text, head.Hanging)
	}
	if h.Guessed > 0 {
		line("", "%s not read for this: some may be counted elsewhere",
			figures.Plural(h.Guessed, "object")+map[bool]string{true: " was", false: " were"}[h.Guessed == 1])
	}
}

func plainClass(class string) string {
	if class == "" {
		return "of unknown class"
	}
	return class
}
