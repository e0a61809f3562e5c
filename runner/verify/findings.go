package verify

import (
	"slices"
	"strings"

	"relpack/runner/fault"
	"relpack/runner/graph"
)

// toMend tells whether a repair has something to do. References to objects that
// are not stored are the application's, and so is what else is damaged.
func toMend(found []graph.Finding) bool {
	return slices.ContainsFunc(found, func(f graph.Finding) bool { return f.Kind != "dangling" && f.Severity != "damage" })
}

// off is the error for findings that are errors or damage, or nil. What keeps
// relpack from working has a remedy of its own, and so has damage.
func off(found []graph.Finding, remedy string) error {
	var texts []string
	var damage error
	for _, f := range found {
		if f.Severity == "damage" && damage == nil {
			damage = fault.Refuse(f.Remedy, "%s", f)
		}
		if f.Severity != "error" {
			continue
		}
		if f.Kind == graph.OutOfForce {
			return fault.Refuse(f.Remedy, "%s", f.Meaning)
		}
		texts = append(texts, f.String())
	}
	if len(texts) == 0 {
		return damage
	}
	return fault.Refuse(remedy, "the graph does not describe the storage: %s", strings.Join(texts, "; "))
}
