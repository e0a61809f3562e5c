// Package tree reads a ZODB record as data: a tree of dictionaries, lists,
// tuples, strings, numbers and references to other objects. Nothing of what a
// pickle names is imported or called: a class is its name, an instance is a node
// with its class, the arguments of its constructor and its state.
//
// A record has two pickles that share one memo: the class and the state, see
// package pickle. Where a value is stored in the memo and fetched again, the same
// node is in the tree twice, and a list or a dictionary may contain itself: walk it
// with [Node.Walk], which visits each node once.
//
// Memory is bounded: a record may have [MaxRecord] bytes when it is decompressed,
// and [MaxNodes] values. Reading takes time linear in its length. What is odd in
// a record, and does no harm to what else is in it, becomes a node of the kind
// [Unknown].
package tree
