// Package zodbgen generates a database such as a Plone site leaves behind, of
// any size, with a known set of garbage: folders in folders, documents that
// point back to their folder (`__parent__`) and to each other, workflow
// histories, annotations, comments, relations, catalogs of chained buckets.
//
// The records are byte for byte like those that ZODB 6 on Python 3 writes
// (protocol 3); the mix of classes, their sizes and their references are those
// of a real site. What is generated depends on the number of objects and the
// seed only. Memory is 8 bytes for each catalogued document, whatever else
// there is.
//
//	plan := zodbgen.NewPlan(1_000_000, 1)
//	err := plan.Load(ctx, conn)        // creates and fills the storage
//	changes := plan.Changes()
//	err = changes.Next(0.001).Commit(ctx, conn)
package zodbgen
