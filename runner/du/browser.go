package du

import (
	"context"
	"fmt"
	"sync"

	"relpack/runner/fault"
	"relpack/runner/look"
)

// A Browser looks into what was measured, for who goes in and out. Its methods may be
// called from several goroutines.
type Browser struct {
	Report *Report // without a list

	mu     sync.Mutex
	forest *Forest
	graph  *look.Graph // which rests
}

// An Entry is an object with all that is in it.
type Entry struct {
	Row   uint32 // by which the Browser knows it
	Zoid  int64
	Class string
	Sum
}

// Inside is what is directly in an object.
type Inside struct {
	Entries []Entry // sorted, those of most at most
	Others  Others  // the rest
	Parts   Others  // of the BTree, if it is one
}

// Top is the object with a zoid.
func (b *Browser) Top(zoid int64) (Entry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.forest.rows.find(zoid)
	if i == none {
		return Entry{}, notLive(zoid)
	}
	return b.forest.entry(i), b.forest.rows.err
}

func notLive(zoid int64) error {
	return &fault.Error{Code: fault.ExitFailure, Err: fmt.Errorf("zoid %d is not among the live objects of the last pack", zoid),
		Hint: fmt.Sprintf(`"relpack why %d" says why`, zoid)}
}

func (f *Forest) entry(i uint32) Entry {
	x := f.rows.get(i)
	return Entry{Row: i, Zoid: x.zoid, Class: f.kinds[x.class].label, Sum: x.sum()}
}

// Inside lists what is in an object.
func (b *Browser) Inside(row uint32, most int, key Key) (Inside, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.forest.contents([]uint32{row}, most, key)[row]
	found := Inside{Parts: c.parts, Others: Others{Count: c.count - int64(len(c.largest)), Sum: c.others}}
	for _, item := range c.largest {
		found.Entries = append(found.Entries, b.forest.entry(item.row))
	}
	return found, b.forest.rows.err
}

// Classes sums up by class what is in an object.
func (b *Browser) Classes(row uint32, key Key) ([]Class, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.forest.classes(row, key), b.forest.rows.err
}

// Names are how an object has some that are in it; "" where that can't be told.
func (b *Browser) Names(ctx context.Context, holder int64, zoids []int64) (names map[int64]string, err error) {
	names = map[int64]string{}
	err = b.awake(ctx, func() error {
		for _, zoid := range zoids {
			if names[zoid], err = b.graph.NameIn(ctx, holder, zoid); err != nil {
				return err
			}
		}
		return nil
	})
	return names, err
}

// FullName is how Python would reach an object; "" if that is not known.
func (b *Browser) FullName(ctx context.Context, zoid int64) (name string, err error) {
	err = b.awake(ctx, func() error {
		name, err = fullName(ctx, b.graph, zoid)
		return err
	})
	return name, err
}

// awake does something with the graph, in a transaction that ends with it: people take
// their time.
func (b *Browser) awake(ctx context.Context, do func() error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.graph.Wake(ctx)
	if err == nil {
		err = do()
	}
	if ended := b.graph.Rest(ctx); err == nil {
		err = ended
	}
	return b.graph.Explain(err)
}
