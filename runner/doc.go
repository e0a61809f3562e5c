// Package runner is relpack's client: it opens a storage's database, decodes
// what PostgreSQL can't (the references in ZODB records), and calls the
// functions of the schema relpack in their order. The graph, the walk through
// it and every safety check live in the server; which function calls which is
// told by the map in sql/README.md.
//
// # A pack, step by step
//
//	Family.Pack      the storages of a file: all are brought up to date first   family.go, foreign.go
//	pack.locked      a session, is relpack installed, the pack lock             pack.go
//	pack.build       the first time: scan, index, reach, fill                   graph.go, scan.go, beside.go
//	pack.catchUp     capture, apply, reach: what changed since the last run     graph.go, examine.go, salvage.go
//	pack.survey      count the unreachable, choose what is to go                sweep.go
//	pack.prove       read some of the chosen again, and what they refer to      audit_proof.go
//	pack.sweep       delete in batches; sweepBatch decodes what is fresh        sweep.go, sweep_batch.go
//	pack.removeBlobs the files of deleted blobs                                 blobs.go, blob_proof.go, blob_durable.go
//	pack.vacuum      relpack's own tables                                       sweep.go
//	pack.audit       read a share of the storage again                          audit.go
//
// [Verify] compares the graph with everything stored (verify*.go), [Status] tells
// what is known without reading a state (status*.go).
//
// # Packages
//
//	schema    what a database holds; migrations; privileges
//	record    rows of object_state in, decoded; rows for staging tables out
//	session   one connection: settings, poolers, the log of statements
//	target    which storages: a configuration file or a DSN
//	figures   counts, sizes and tables for people
//	progress  how far a phase is: a bar, a log
//	fault     errors: exit code, hint, one line
//	pickle    references in records     zconfig   configuration files
//	conninfo  libpq's connection words  blobdir   a shared blob directory
//
// An arrow runs from the top of this list to its end, never back; the last four
// import nothing of relpack's.
//
// # Sessions
//
// Six at most, each with application_name "relpack " and what it is for. Whoever
// opens one closes it.
//
//	pack, verify  one. It holds the pack lock; what writes to the graph runs in it
//	scan, stage   two of each: a first build reads with one and writes with the other
//	stage         one in later runs, where a chunk outgrows its buffer or has a new class
//	build         one: creates indexes of a first build, and enters objects, beside the main one
//	compare       two: verify compares what two sessions for scan read
//	prove         one, where the sample has a class that nobody has met
//	commit        one: waits for standbys before files go
//	migrate       two: one works, the other looks who is in its way
//	status        one, which only reads
//
// # Locks
//
// All advisory, and taken in this order where several are.
//
//	object_state         ACCESS SHARE, in a statement of its own before any that reads it (record.LockStorage)
//	-2                   the pack lock, zodbpack's too: for the whole run (sql/try_pack_lock.sql; 1 and 23 before RelStorage 3.5)
//	-1                   RelStorage's commit lock: by a sweep that gets the next one in no other way (sql/line_up.sql)
//	1919249520, 1        the writers' lock: shared by each write to object_state, alone by a capture and a batch (sql/try_writers_lock.sql)
//	1919249520, 2        shared by what sends examined objects beside the main session, alone by who discards them (sql/apply_join.sql)
//	1919249520, 3        shared by all of relpack's sessions: tells them from the application's (sql/own_session.sql)
package runner
