package blobdir

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"strings"
)

// ZODB writes an id in hexadecimal behind 0x, in whole bytes without the
// leading zero bytes; zero is 0x00.
const (
	idPrefix     = "0x"
	blobSuffix   = ".blob"
	lockSuffix   = ".lock"
	dirLock      = ".lock" // of all of an object's revisions
	oidBytes     = 8
	bitsPerLevel = 8
)

func idName(id int64) string {
	var bytes [oidBytes]byte
	binary.BigEndian.PutUint64(bytes[:], uint64(id))
	first := 0
	for first < oidBytes-1 && bytes[first] == 0 {
		first++
	}
	return idPrefix + hex.EncodeToString(bytes[first:])
}

func revisionName(tid int64) string { return idName(tid) + blobSuffix }

// parseRevision reads the tid out of a revision's file name. Only the one
// spelling that ZODB writes is taken: anything else belongs to somebody else.
func parseRevision(name string) (tid int64, ok bool) {
	id, found := strings.CutSuffix(name, blobSuffix)
	if !found {
		return 0, false
	}
	digits, found := strings.CutPrefix(id, idPrefix)
	if !found || len(digits) > 2*oidBytes {
		return 0, false
	}
	decoded, err := hex.DecodeString(digits)
	if err != nil {
		return 0, false
	}
	var value uint64
	for _, b := range decoded {
		value = value<<8 | uint64(b)
	}
	if value > math.MaxInt64 || idName(int64(value)) != id {
		return 0, false
	}
	return int64(value), true
}

// levelNames are those of the directories from the blob directory down to the
// object's own.
func levelNames(layout Layout, zoid int64) []string {
	if layout == Lawn {
		return []string{idName(zoid)}
	}
	names := make([]string, oidBytes)
	for i := range names {
		names[i] = idPrefix + hex.EncodeToString([]byte{byte(uint64(zoid) >> (bitsPerLevel * (oidBytes - 1 - i)))})
	}
	return names
}
