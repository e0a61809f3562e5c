package model

import (
	"bytes"
	"encoding/binary"
	"slices"

	"relpack/runner/internal/zodbtest"
)

// The model of a storage, in memory: what is stored, what can be reached, and
// what a pack may delete. It shares no code with relpack but the records that
// zodbtest writes, and finds references by knowing them, not by decoding.

// modelContent is what an object's record says.
type modelContent struct {
	kind string
	refs []int64
}

func (c modelContent) state() []byte {
	switch c.kind {
	case "plain":
		return c.withForeign(zodbtest.Record(zodbtest.Document, c.refs...))
	case "py2":
		return zodbtest.RecordPy2(zodbtest.Document, c.refs...)
	case "zip":
		return zodbtest.Compressed(c.withForeign(zodbtest.Record(zodbtest.Document, c.refs...)))
	case "odd":
		return oddRecord(c.refs)
	case "weak":
		return zodbtest.WeakRecord(zodbtest.Document, c.refs...)
	case "opaque":
		return zodbtest.Encrypted(zodbtest.Record(zodbtest.Document, c.refs...))
	case "blob":
		return zodbtest.Record(zodbtest.Blob)
	case "empty":
		return []byte{}
	}
	return nil
}

// oddRecord has a persistent id that is none. What it refers to can only be
// guessed from its bytes, where the oids stand one after the other.
func oddRecord(named []int64) []byte {
	record := bytes.TrimSuffix(zodbtest.Odd(zodbtest.Document), []byte("u."))
	record = append(record, "X\x04\x00\x00\x00bodyB"...)
	record = binary.LittleEndian.AppendUint32(record, uint32(8*len(named)))
	for _, zoid := range named {
		record = append(record, zodbtest.Oid(zoid)...)
	}
	return append(record, "u."...)
}

type modelRow struct {
	tid     int64
	content modelContent
}

// modelStorage is object_state.
type modelStorage map[int64]modelRow

// refs are the objects that one refers to, stored or not. In an odd record
// every 8 bytes that name a stored object count besides.
func (s modelStorage) refs(zoid int64) []int64 { return s.refsAmong(zoid, nil) }

// refsAmong takes what some vanished rows were for stored: an odd record may
// name them.
func (s modelStorage) refsAmong(zoid int64, vanished map[int64]modelHole) []int64 {
	c := s[zoid].content
	switch c.kind {
	case "plain", "py2", "zip":
		return c.refs
	case "odd":
		var refs []int64
		state := c.state()
		for i := 0; i+8 <= len(state); i++ {
			named := int64(binary.BigEndian.Uint64(state[i:]))
			_, stored := s[named]
			if _, missing := vanished[named]; stored || missing {
				refs = append(refs, named)
			}
		}
		return refs
	}
	return nil
}

// from is what can be reached from some objects, these included.
func (s modelStorage) from(start ...int64) map[int64]bool {
	reached := map[int64]bool{}
	for len(start) > 0 {
		zoid := start[len(start)-1]
		start = start[:len(start)-1]
		if _, stored := s[zoid]; stored && !reached[zoid] {
			reached[zoid] = true
			start = append(start, s.refs(zoid)...)
		}
	}
	return reached
}

// steady is what was stored at a moment and still is, with the references that
// have stayed, or had been known before.
func (s modelStorage) steady(then, before modelStorage) modelStorage {
	common := modelStorage{}
	for zoid, row := range then {
		if _, stored := s[zoid]; !stored {
			continue
		}
		known := append(s.refs(zoid), before.refs(zoid)...)
		refs := slices.DeleteFunc(slices.Clone(then.refs(zoid)), func(ref int64) bool { return !slices.Contains(known, ref) })
		common[zoid] = modelRow{row.tid, modelContent{"plain", refs}}
	}
	return common
}

func (s modelStorage) maxTid() int64 {
	var highest int64
	for _, row := range s {
		highest = max(highest, row.tid)
	}
	return highest
}
