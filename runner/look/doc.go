// Package look answers questions about the graph without changing anything: what
// an object is, whether it is alive, which way leads to it from the root and how
// people would name it.
//
// A [Graph] is one transaction, READ ONLY and REPEATABLE READ, on a primary or a
// standby: it takes no pack lock, makes no temporary table, and sees the graph and
// the storage at one moment. While a pack changes the graph it refuses to open. What
// takes long and needs the graph little is done in [Graph.Pause].
//
// The graph describes the storage as of the last pack. What was written since is
// read and decoded when the Graph opens (fresh.go), so that answers hold for the
// moment at which it opened: an object that was attached again since is alive.
// Where that is not possible (too much was written, the graph may not match the
// storage) [Graph.Uncertain] says why, and nothing is called unreachable.
//
// Ways are made of recorded references. Each was read from a state, and none of
// the states in question has changed since, or it was read again.
package look
