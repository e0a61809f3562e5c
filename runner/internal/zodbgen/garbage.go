package zodbgen

import "iter"

// Garbage yields the zoids that nothing reaches from the root, in ascending
// order: as written, before any changes.
func (p *Plan) Garbage() iter.Seq[int64] {
	return func(yield func(int64) bool) {
		for _, part := range p.garbageRanges() {
			for zoid := part[0]; zoid < part[1]; zoid++ {
				if !yield(zoid) {
					return
				}
			}
		}
	}
}

// GarbageCount is how many objects Garbage yields, and how many of them lie in
// cycles or hang on one.
func (p *Plan) GarbageCount() (all, cyclic int64) {
	for _, part := range p.garbageRanges() {
		all += part[1] - part[0]
	}
	return all, all - p.scatteredCount()
}

// garbageRanges are [from, to) each, ascending.
func (p *Plan) garbageRanges() [][2]int64 {
	var parts [][2]int64
	for i := range p.units {
		if u := &p.units[i]; u.kind == dead {
			parts = append(parts, [2]int64{u.zoid, u.end})
		}
	}
	return append(parts, [2]int64{p.scattered, p.scattered + p.scatteredCount()})
}

// scatteredCount is how much garbage lies outside folders: it refers to live
// objects at most, and is found by counting references too.
func (p *Plan) scatteredCount() int64 { return p.Objects - p.scattered }

// writeScattered writes the garbage outside folders: what edits left behind.
func (w *writer) writeScattered() error {
	p := w.plan
	end := p.Objects
	for zoid := p.scattered; zoid < end; {
		w.tid = p.tidOf(zoid)
		r := randomOf(p.Seed, "scattered", zoid)
		from, to := p.stayer(&r), p.stayer(&r)
		two := zoid+1 < end
		switch x := r.below(100); {
		case x < 4 && two:
			w.row(zoid, w.rec.blobFile(zoid+1, r.text(16)+".pdf"))
			w.row(zoid+1, w.rec.blob())
			zoid++
		case x < 30 && two:
			w.row(zoid, w.annotations(&r, 0, zoid+1))
			w.row(zoid+1, w.rec.portlets(r.text(r.between(20, 120)), r.between(1, 999), from))
			zoid++
		case x < 60:
			w.row(zoid, w.rec.relation(from, to))
		case x < 70:
			w.row(zoid, w.rec.setting(r.text(r.between(10, 80))))
		case x < 80:
			w.row(zoid, w.rec.related(nil))
		case x < 82:
			first := r.below(int64(len(p.entries)))
			n := int(min(15, int64(len(p.entries))-first))
			w.row(zoid, w.rec.bucket(ioBucket, n, func(i int) {
				w.rec.number(first + int64(i) + 1)
				w.rec.keyReference(p.entries[first+int64(i)].ref())
			}, 0))
		default:
			w.row(zoid, w.rec.length(r.between(0, 60)))
		}
		zoid++
		if w.err != nil {
			return w.err
		}
	}
	return w.err
}
