package du

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
)

// A row is what is known of a live object.
type row struct {
	zoid    int64
	bytes   int64  // of the states of all that is in it, its own included; before that is added up: the zoid of its parent in the tree
	blobs   int64  // of the blobs in it
	older   int64  // of superseded revisions of all that is in it
	own     int64  // of superseded revisions of its own
	in      uint32 // the row that it is in; the root's is its own
	named   uint32 // the row that it names, or that was chosen: none, if neither; later isPart
	class   uint32
	size    uint32 // of its own state
	objects uint32 // in it, itself included
	mark    uint32 // of walks
}

// none is no row.
const none = 1<<32 - 1

// A page is read and written at once.
const (
	pageRows = 512
	rowBytes = 64
)

// rows are many, in the order of zoids. They are kept in memory up to a limit, and
// else in a file that has no name any more.
type rows struct {
	count  int
	limit  int // pages in memory, 2 at least
	pages  []*page
	hand   int      // of the clock that chooses what goes
	free   []*page  // room for pages
	loaded int      // pages in memory
	file   *os.File // nil: all fit
	err    error    // the first of the file: what was read since is of no use
	buf    []byte
	first  []int64 // zoid of each page's first row
}

type page struct {
	rows    [pageRows]row
	used    bool // since the hand came by
	changed bool // since it was written
}

// ref is row i. It may be changed; it is valid until the next call.
func (r *rows) ref(i uint32) *row {
	p := r.page(int(i) / pageRows)
	p.changed = true
	return &p.rows[i%pageRows]
}

// get is row i.
func (r *rows) get(i uint32) *row { return &r.page(int(i) / pageRows).rows[i%pageRows] }

func (r *rows) page(n int) *page {
	p := r.pages[n]
	if p == nil {
		p = r.load(n)
	}
	p.used = true
	return p
}

// add appends a row. Zoids ascend.
func (r *rows) add(x row) {
	n := r.count / pageRows
	if n == len(r.pages) {
		r.makeRoom()
		r.pages = append(r.pages, r.room())
		r.loaded++
		r.first = append(r.first, x.zoid)
	}
	i := uint32(r.count)
	r.count++
	*r.ref(i) = x
}

// find is the row of an object; none if there is none.
func (r *rows) find(zoid int64) uint32 {
	n, found := slices.BinarySearch(r.first, zoid)
	if found {
		return uint32(n * pageRows)
	}
	if n == 0 {
		return none
	}
	n--
	p := r.page(n)
	inPage := p.rows[:min(pageRows, r.count-n*pageRows)]
	i, found := slices.BinarySearchFunc(inPage, zoid, func(x row, zoid int64) int {
		switch {
		case x.zoid < zoid:
			return -1
		case x.zoid > zoid:
			return 1
		}
		return 0
	})
	if !found {
		return none
	}
	return uint32(n*pageRows + i)
}

// room is a page to fill.
func (r *rows) room() *page {
	if n := len(r.free) - 1; n >= 0 {
		p := r.free[n]
		r.free = r.free[:n]
		*p = page{}
		return p
	}
	return &page{}
}

// makeRoom lets a page go that was not used for a while, if need be.
func (r *rows) makeRoom() {
	for r.loaded >= r.limit {
		r.hand = (r.hand + 1) % len(r.pages)
		p := r.pages[r.hand]
		switch {
		case p == nil:
		case p.used:
			p.used = false
		default:
			r.write(r.hand, p)
			r.pages[r.hand] = nil
			r.free = append(r.free, p)
			r.loaded--
		}
	}
}

func (r *rows) write(n int, p *page) {
	if !p.changed || r.err != nil {
		return
	}
	if r.file == nil {
		if r.file, r.err = scratch(); r.err != nil {
			return
		}
	}
	r.buf = r.buf[:0]
	for i := range p.rows {
		x := &p.rows[i]
		for _, v := range [...]int64{x.zoid, x.bytes, x.blobs, x.older, x.own} {
			r.buf = binary.LittleEndian.AppendUint64(r.buf, uint64(v))
		}
		for _, v := range [...]uint32{x.in, x.named, x.class, x.size, x.objects, x.mark} {
			r.buf = binary.LittleEndian.AppendUint32(r.buf, v)
		}
	}
	if _, err := r.file.WriteAt(r.buf, int64(n)*pageRows*rowBytes); err != nil {
		r.err = fmt.Errorf("write to a file under TMPDIR: %w", err)
	}
}

// load reads a page that was let go.
func (r *rows) load(n int) *page {
	r.makeRoom()
	p := r.room()
	r.buf = slices.Grow(r.buf[:0], pageRows*rowBytes)[:pageRows*rowBytes]
	if r.err == nil {
		if _, err := r.file.ReadAt(r.buf, int64(n)*pageRows*rowBytes); err != nil {
			r.err = fmt.Errorf("read from a file under TMPDIR: %w", err)
		}
	}
	at := r.buf
	for i := range p.rows {
		x := &p.rows[i]
		for _, field := range [...]*int64{&x.zoid, &x.bytes, &x.blobs, &x.older, &x.own} {
			*field = int64(binary.LittleEndian.Uint64(at))
			at = at[8:]
		}
		for _, field := range [...]*uint32{&x.in, &x.named, &x.class, &x.size, &x.objects, &x.mark} {
			*field = binary.LittleEndian.Uint32(at)
			at = at[4:]
		}
	}
	if r.err != nil {
		*p = page{} // walks end at row 0
	}
	r.pages[n] = p
	r.loaded++
	return p
}

// scratch makes a file that goes with the process.
func scratch() (*os.File, error) {
	file, err := os.CreateTemp("", "relpack-du-")
	if err != nil {
		return nil, fmt.Errorf("make a file under TMPDIR: %w", err)
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, fmt.Errorf("make a file under TMPDIR: %w", err)
	}
	return file, nil
}

// close gives up the file.
func (r *rows) close() {
	if r.file != nil {
		_ = r.file.Close()
	}
}
