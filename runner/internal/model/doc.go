// Package model plays random histories of a storage against a model in memory: what
// is stored, cut off, restored, altered and lost, with packs in between that may be
// abandoned at any step. After each step it compares what relpack did and knows with
// what a full mark from the root would do. A list of mistakes in SQL must be found,
// each by its seed. All of it is tests.
package model
