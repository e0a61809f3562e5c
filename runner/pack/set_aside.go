package pack

import (
	"context"
	"fmt"

	"relpack/runner/fault"
	"relpack/runner/figures"
	"relpack/runner/inventory"
)

// namedSetAside is how many objects that can't be deleted a report has.
const namedSetAside = 10

// Held is the part of a report about what can't be deleted.
type Held struct {
	HeldBack figures.Count        `json:"held_back"` // of the unreachable
	HangsOn  figures.Count        `json:"hangs_on"`  // what is held back refers to these, so that they stay
	SetAside []inventory.SetAside `json:"set_aside"` // of what is held back at most 10
}

// held reads what can't be deleted. That is an error at the end of a run that has
// deleted all the rest.
func (p *pack) held(ctx context.Context) (h Held, err error) {
	if h.HeldBack, h.SetAside, err = inventory.ReadSetAside(ctx, p.Conn, namedSetAside); err != nil || h.HeldBack.Objects == 0 {
		h.SetAside = []inventory.SetAside{}
		return h, err
	}
	h.HangsOn, err = inventory.CountHanging(ctx, p.Conn)
	return h, err
}

// setAside is the error for what can't be deleted, or nil.
func (r *Report) setAside() error {
	if len(r.SetAside) == 0 {
		return nil
	}
	first, text := r.SetAside[0], figures.Plural(r.HeldBack.Objects, "unreachable object")+" set aside"
	switch n := r.HangsOn.Objects; {
	case n == 1:
		text += ", 1 object that hangs on it stays too"
	case n > 1:
		text += fmt.Sprintf(", %s that hang on it stay too", figures.Plural(n, "object"))
	}
	is, gone := "is", r.Deleted.Objects
	if r.DryRun {
		is, gone = "would be", r.Chosen.Objects
	}
	switch {
	case gone > 0 && r.young.Objects > 0:
		text += ", the rest that is older than the grace " + is + " deleted"
	case gone > 0:
		text += ", the rest " + is + " deleted"
	}
	return fault.Refuse(first.Remedy, "%s: zoid %d: %s", text, first.Zoid, first.Reason)
}
