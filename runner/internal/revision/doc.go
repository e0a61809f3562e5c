// Package revision is the rule of what a pack of a history-preserving storage keeps,
// in Go's memory, computed from all that is stored: what tests compare packs with.
package revision
