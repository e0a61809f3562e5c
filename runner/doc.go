// Package runner is relpack's client: it opens a storage's database, decodes
// what PostgreSQL can't (the references in ZODB records), and calls the
// functions of the schema relpack in their order. The graph, the walk through
// it and every safety check live in the server; which function calls which is
// told by the map in sql/README.md.
//
// # A pack, step by step
//
//	pack.Family.Pack     the storages of a file: all are brought up to date first       pack/pack.go, family.go, foreign.go
//	graph.Open           a session, is relpack installed, the pack lock until the end   graph/packer.go
//	Packer.Build         the first time: scan, index, reach, fill                       graph/build.go, scan.go, beside.go
//	Packer.CatchUp       capture, apply, reach: what changed since the last run         graph/capture.go, examine.go, reach.go
//	pack.mendDifference  mend what an audit before found; is another share due          pack/audit.go
//	pack.noteReferrers   tell the server which storages refer to this one               pack/foreign.go
//	pack.survey          count objects, what is unreachable, what is damaged            pack/survey.go
//	pack.choose          choose what of the unreachable is to go                        pack/choose.go
//	Comparison.Sample    read some of the chosen again, and what they refer to          graph/sample.go
//	Packer.SweepBatch    delete a batch, which commits unless fresh states refer to it  graph/sweep.go
//	blobs.Remover        the files of deleted blobs                                     blobs/survey.go, remove.go, dir.go, durable.go
//	Comparison.Share     read a share of the storage again, compare                     graph/share.go
//	pack.vacuum          relpack's own tables                                           pack/sweep.go
//	verify.Repair        if that found a difference: read everything, mend              verify/verify.go
//
// [verify.Run] compares the graph with everything stored. [status.Look] tells what
// is known without reading a state.
//
// The history of a history-preserving storage is trimmed before the garbage goes, and
// with pack-gc false nothing else is done: pack/trim.go calls the functions trim_… of
// sql/, a batch each. pack/history.go fixes the pack time, and has the trim lie between the
// capture and the reading of what that listed, or before the scan of a first build.
// record/fold.go makes one of the revisions of an object that are kept.
//
// # Packages
//
//	pack       finds and deletes what can't be reached
//	verify     compares the graph with the storage, mends it
//	page       what is known of storages, as a page for a browser
//	status     what is known of a storage
//	orphans    files in a blob directory that nobody needs
//	browse     du's browser in a terminal
//	why        why an object is alive, or since when it is garbage
//	check      what is broken in a storage
//	du         where the space of a storage is, by folders
//	look       the graph and the storage at one moment, for those who only read
//	blobs      files of deleted blobs
//	graph      a session that holds the pack lock: only through it the graph is written
//	inventory  what relpack's tables say, as reports show it
//	schema     what a database holds; migrations; privileges
//	job        a command at work: phases, progress, stop
//	record     rows of object_state in, decoded; rows for staging tables out
//	session    one connection: settings, poolers, the log of statements
//	patience   tries again what others keep from being done
//	target     which storages: a configuration file or a DSN
//	figures    counts, sizes and tables for people
//	progress   how far a phase is: a bar, a log
//	fault      errors: exit code, hint, one line
//	naming     under which name an object holds another
//	pickle/tree  a record as data, see pickle
//	zoid       object ids as people write them
//	pickle     references in records     zconfig   configuration files
//	conninfo   libpq's connection words  blobdir   a shared blob directory
//
// An arrow runs from the top of this list to its end, never back; the last four
// import nothing of relpack's. A new command is a package beside status whose report
// has Write and Empty, a file in cmd/relpack that hands it to reports, and a line in
// grammar (main.go).
//
// # Sessions
//
// Six at most (session.Open, job.Job.Session), each with application_name "relpack "
// and what it is for. Whoever opens one closes it. Beside a pooler one more looks for
// a moment whether it lends sessions.
//
//	pack, verify  one. It holds the pack lock; what writes to the graph runs in it. A family
//	              asks each of its databases which it is, before
//	scan, stage   two of each: a first build reads with one and writes with the other
//	stage         one in later runs, where a chunk outgrows its buffer or has a new class
//	build         one: creates indexes of a first build, and enters objects, beside the main one
//	compare       two: verify compares what two sessions for scan read, and so does a pack
//	              after an ALTER TABLE; one for a large share of an audit
//	prove         one, where the sample has a class that nobody has met
//	commit        one: waits for standbys before files go
//	migrate       two: one works, the other looks who is in its way; "migrate status" one
//	status        one, which only reads
//	blobs         one, which only reads; with --remove one that holds the pack lock, and commit
//	verify        one more, which only reads, where a live object of a history has no state
//	why, check    one, which only reads, in one transaction; where storages of a file share a blob
//	              directory, check asks each which database it is
//	du            the same, and two for scan, which read states in short transactions
//	report        one, after that of status and before those of du
//
// # Locks
//
// Taken in this order where several are, but -2 first; all but the first are advisory.
//
//	object_state         ACCESS SHARE, in a statement of its own before any that reads it (record.LockStorage)
//	-2                   the pack lock, zodbpack's too: for the whole run (sql/try_pack_lock.sql, taken by graph.Open and
//	                     schema/migrator.go; 1 and 23 as well before RelStorage 3.5)
//	-1                   RelStorage's commit lock: by a sweep that gets the next one in no other way (sql/line_up.sql)
//	1919249520, 1        the writers' lock: shared by each write to object_state, alone by a capture and a batch (sql/try_writers_lock.sql)
//	1919249520, 2        shared by what sends examined objects beside the main session, alone by who discards them (sql/apply_join.sql)
//	1919249520, 3        shared by all of relpack's sessions: tells them from the application's (sql/own_session.sql)
//	goose's              a migration at work (schema/migrator.go)
package runner
