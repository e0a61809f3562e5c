// Package naming tells under which name an object holds another, as a person
// would write it in Python: an attribute, the key of a mapping or of a BTree, a
// position. It knows the shapes of states that ZODB, persistent and BTrees write,
// and reads them as data: nothing of a pickle is ever run.
//
// The parts of a BTree refer to each other as well: nodes to their children,
// buckets to the next one. Such references have no name ([Place.Inner]): the name
// is the key under which the tree holds the value, whichever bucket that is in.
package naming
