// Package packtest is what the tests of several packages have in common: storages to
// begin with, packs, what happens in the middle of them, and what has to be true in
// the end.
//
//	main.go, storage.go    the database of a test
//	sql.go, commit.go      what an application or a DBA does to it
//	garden.go, album.go    storages in which something is
//	history.go             one that keeps history, with blobs
//	sample.go              the storage that RelStorage wrote
//	kin.go, role.go        storages that refer to each other, or that belong to somebody
//	pack.go, crash.go      packs, and how they end before their end
//	wait.go, dump.go       sessions that wait for each other; pg_dump
//	expect.go, verify.go   what the graph and the storage have to be
//	refused.go             what errors have to say
//
// Functions that take a testing.TB fail the test where they fail.
package packtest
