// Package interop proves that relpack does no harm beside the real RelStorage:
// an application in Python, written here, works on a storage while relpack
// packs it and is killed, and everything is there afterwards.
//
// "make interop" runs it (some minutes), "make soak" for longer and with older
// releases of RelStorage. It needs
// Python 3 and a package index; plain "go test" passes it over.
package interop
