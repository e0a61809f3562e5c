// Package runner is relpack's client: it opens a storage's database, decodes
// what PostgreSQL can't (the references in ZODB records), and calls the
// functions of the schema relpack in their order. The graph, the walk through
// it and every safety check live in the server.
package runner
