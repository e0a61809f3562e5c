// Package zodbtest makes RelStorage databases for tests: the tables of several
// RelStorage versions, real sample data, ZODB records with chosen references,
// commits that lock as RelStorage's do, and an oracle that computes in memory
// what can be reached from the root.
package zodbtest
