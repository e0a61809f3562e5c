// Package pack finds and deletes what can't be reached, and old revisions of a
// history-preserving storage: "relpack pack".
package pack
