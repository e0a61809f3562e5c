package graph

import (
	"relpack/runner/pickle"
	"relpack/runner/record"
)

// A stateChunk is what relpack.verify_states takes.
type stateChunk struct {
	zoids, tids  []int64
	classes      []int32
	problems     []string
	refs, inrefs []int64
	foreign      foreignChunk
}

func (c *stateChunk) reset() {
	c.zoids, c.tids, c.classes, c.problems = c.zoids[:0], c.tids[:0], c.classes[:0], c.problems[:0]
	if cap(c.refs) > 4*chunkReferences {
		c.refs, c.inrefs = nil, nil
	}
	c.refs, c.inrefs = c.refs[:0], c.inrefs[:0]
	c.foreign = foreignChunk{}
}

func (c *stateChunk) add(rec record.Row, found record.Decoded) {
	c.zoids = append(c.zoids, rec.Zoid)
	c.tids = append(c.tids, rec.Tid)
	c.classes = append(c.classes, found.Class)
	kind := found.Kind()
	c.problems = append(c.problems, kind)
	if kind == "salvaged" {
		found.Refs = nil // and all that its bytes may name: see relpack.verify_states
	}
	c.foreign.add(rec.Zoid, found.Foreign)
	for _, ref := range found.Refs {
		c.refs = append(c.refs, ref)
		c.inrefs = append(c.inrefs, rec.Zoid)
	}
}

// A foreignChunk is what relpack.verify_foreign takes.
type foreignChunk struct {
	inrefs, zoids []int64
	databases     []string
}

func (c *foreignChunk) add(zoid int64, refs []pickle.Foreign) {
	for _, ref := range refs {
		c.inrefs = append(c.inrefs, zoid)
		c.zoids = append(c.zoids, ref.Oid)
		c.databases = append(c.databases, pickle.Plain(ref.Database))
	}
}
