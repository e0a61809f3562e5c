// Package du tells where the space of a storage is, by containment as a person knows
// it: a folder has what is in it, a document its parts, and no catalog has a document
// because it has indexed it.
//
// Each live object is in one other. Which one, is told by
//
//  1. the object itself: its attribute __parent__, if that is alive and the chain of
//     these attributes does not lead back to the object;
//  2. where the tree of the graph has it in a catalog, an intid utility or whatever
//     else is a BTree, or in something that is itself in the object: the best of its
//     referrers, see [forest.settle];
//  3. the tree: relpack.object.parent.
//
// The inner nodes and buckets of a BTree are one with it. So the sizes of a folder's
// BTree and of all that is in it are the folder's.
//
// A [Forest] has a row of 64 bytes for each live object. What does not fit into
// 64 MiB is in a file under TMPDIR (pages.go). Lists are made by reading all rows once.
package du
