// Package sqltest tests sql/ as a whole: what the catalog says of it, how its
// functions are planned, that its handbook is true, and that the program leaves
// to it what is its own.
package sqltest
