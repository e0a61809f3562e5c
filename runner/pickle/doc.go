// Package pickle finds the references in a ZODB record.
//
// A record is what a ZODB storage keeps of one object: two pickles, one after
// the other, that share one memo. The first names the class, the second is the
// state. Other objects appear in them as persistent ids, and those that count
// as references are the ones that ZODB's referencesf returns
// (ZODB/serialize.py):
//
//	(oid, class)               a reference
//	oid                        a reference
//	['w', (oid,)]              weak: not a reference
//	['w', (oid, database)]     weak: not a reference
//	[oid]                      weak, oldest form: not a reference
//	['n', (database, oid)]     an object of another database: see [Scanner.Foreign]
//	['m', (database, oid, class)]   the same
//
// A [Scanner] reads the instructions of both pickles without building a single
// object: it keeps where on the pickle machine's stack a string, a class, a
// tuple or a list lies, and looks closer only when an instruction turns a
// value into a persistent id. It reads protocols 0 to 5, written by Python 2
// or 3, plain or wrapped by zc.zlibstorage, allocates nothing once its buffers
// have grown to the size of the records at hand (but for what compress/zlib
// allocates), and takes time and memory linear in the length of the record,
// whatever is in it. Memory has limits besides.
//
// # When a record can't be read
//
// Scan then returns an [*Error], whose Kind says what is left to the caller.
// Of an [Odd] record one part is wrong, but all of it is there and its oids are
// plain bytes: whatever it refers to is among [Scanner.Candidates]. Of an
// [Opaque] one the references are unknown.
//
// The meaning of the instructions follows Lib/pickletools.py and
// Modules/_pickle.c of CPython. Where ZODB on Python 3 gives up on a sound
// record (bytes above 0x7f in strings of Python 2, protocols 4 and 5) the
// scanner reads on. It doesn't check what can't change a reference: the digits
// of a number, the encoding of a text that isn't an oid, the length of a frame.
package pickle
