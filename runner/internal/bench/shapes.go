package main

import (
	"context"
	"math/rand/v2"
)

// shape is a family of graphs: how many objects there are when the large ones
// have n, what the object with this number refers to, and what happens to it
// after the first build.
type shape struct {
	name         string
	objects      func(n int64) int64
	perReference int64 // references of each object where those are what costs
	refs         func(n, zoid int64) []int64
	steps        func(ctx context.Context, x *extreme) error
	seconds      map[string]float64 // what a step that is reported as a whole may take
}

func all(n int64) int64 { return n }

// treeWidth is how many children an object of the plain tree has.
const treeWidth = 10

var shapes = []shape{
	{name: "tree", objects: all, refs: treeRefs, steps: cutTree},
	{name: "chain", objects: all, refs: chainRefs, steps: cutChain},
	{name: "chain of descending zoids", objects: all, refs: descendingRefs, steps: cutDescending},
	{name: "chain with references back", objects: func(n int64) int64 { return n / 10 }, refs: backRefs, steps: cutChain},
	{name: "two chains", objects: all, refs: twoChainsRefs, steps: moveBetween, seconds: map[string]float64{oneMoved: 3, manyMoved: 10}},
	{name: "one referring to all", objects: all, refs: wideRefs, steps: cutWide},
	{name: "all referring to one", objects: all, refs: hubRefs, steps: cutHub},
	{name: "dense", objects: func(n int64) int64 { return n / 50 }, perReference: 100, refs: denseRefs, steps: cutDense},
}

func shapeNames() []string {
	var names []string
	for _, s := range shapes {
		names = append(names, s.name)
	}
	return names
}

func treeRefs(n, zoid int64) []int64 {
	var refs []int64
	for child := treeWidth*zoid + 1; child <= treeWidth*(zoid+1) && child < n; child++ {
		refs = append(refs, child)
	}
	return refs
}

// cutTree cuts off half of the root's children with all below them.
func cutTree(ctx context.Context, x *extreme) error {
	kept := treeRefs(x.n, 0)[:treeWidth/2]
	below := x.n - 1
	for _, zoid := range kept {
		below -= treeSize(x.n, zoid)
	}
	if err := x.commit(ctx, map[int64][]int64{0: kept}); err != nil {
		return err
	}
	if err := x.find(ctx, "cut", below, below); err != nil {
		return err
	}
	return x.remove(ctx, below)
}

func treeSize(n, zoid int64) int64 {
	size := int64(1)
	for _, child := range treeRefs(n, zoid) {
		size += treeSize(n, child)
	}
	return size
}

func chainRefs(n, zoid int64) []int64 {
	if zoid+1 == n {
		return nil
	}
	return []int64{zoid + 1}
}

// descendingRefs is a chain the other way round, from the highest zoid to 1.
func descendingRefs(n, zoid int64) []int64 {
	switch zoid {
	case 0:
		return []int64{n - 1}
	case 1:
		return nil
	}
	return []int64{zoid - 1}
}

// cutDescending cuts it in the middle.
func cutDescending(ctx context.Context, x *extreme) error {
	middle := x.n / 2
	if err := x.commit(ctx, map[int64][]int64{middle: nil}); err != nil {
		return err
	}
	if err := x.find(ctx, "cut", middle-1, middle-1); err != nil {
		return err
	}
	return x.remove(ctx, middle-1)
}

// backRefs is a chain whose every object refers to its first as well, which is
// the object after the root.
func backRefs(n, zoid int64) []int64 {
	if zoid == 0 {
		return []int64{1}
	}
	return append([]int64{1}, chainRefs(n, zoid)...)
}

// cutChain cuts it in the middle.
func cutChain(ctx context.Context, x *extreme) error {
	middle := x.n / 2
	refs := x.refs(x.n, middle)
	if err := x.commit(ctx, map[int64][]int64{middle: refs[:len(refs)-1]}); err != nil {
		return err
	}
	below := x.n - middle - 1
	if err := x.find(ctx, "cut", below, below); err != nil {
		return err
	}
	return x.remove(ctx, below)
}

// twoChainsRefs: the root refers to the first of two chains of the same length.
func twoChainsRefs(n, zoid int64) []int64 {
	switch half := n / 2; zoid {
	case 0:
		return []int64{1, half}
	case half - 1:
		return nil
	}
	return chainRefs(n, zoid)
}

const (
	oneMoved  = "one object moves to the other chain"
	manyMoved = "a thousand move there"
)

// moveBetween moves the object at nine tenths of the first chain, with what hangs on it,
// to one at eight tenths of the other; then a thousand at random places.
func moveBetween(ctx context.Context, x *extreme) error {
	half := x.n / 2
	moved, holder := half*9/10, half+half*8/10
	now := map[int64][]int64{moved - 1: nil, holder: append(x.refs(x.n, holder), moved)}
	if err := x.commit(ctx, now); err != nil {
		return err
	}
	if err := x.find(ctx, oneMoved, 0, 0); err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(1, uint64(x.n)))
	for range min(1000, half/10) {
		moved, holder := 2+random.Int64N(half-3), half+random.Int64N(half)
		now[moved-1] = nil
		if _, again := now[holder]; !again {
			now[holder] = x.refs(x.n, holder)
		}
		now[holder] = append(now[holder], moved)
	}
	if err := x.commit(ctx, now); err != nil {
		return err
	}
	return x.find(ctx, manyMoved, 0, 0)
}

// wideRefs: the root refers to one object, and that to all others.
func wideRefs(n, zoid int64) []int64 {
	var refs []int64
	switch zoid {
	case 0:
		refs = append(refs, 1)
	case 1:
		for other := int64(2); other < n; other++ {
			refs = append(refs, other)
		}
	}
	return refs
}

// cutWide makes the object refer to none of them any more.
func cutWide(ctx context.Context, x *extreme) error {
	if err := x.commit(ctx, map[int64][]int64{1: nil}); err != nil {
		return err
	}
	if err := x.find(ctx, "cut", x.n-2, x.n-2); err != nil {
		return err
	}
	return x.remove(ctx, x.n-2)
}

// hub is what all objects refer to that hang on the second of the root's
// children, which refers to lists of these.
const (
	hub     = 1
	lists   = 2
	perList = 1000
)

func hubRefs(n, zoid int64) []int64 {
	var refs []int64
	last := lists + 1 + (n-lists-1)/perList // after the lists come the objects
	switch {
	case zoid == 0:
		return []int64{hub, lists}
	case zoid == hub:
		return nil
	case zoid == lists:
		for list := int64(lists + 1); list < last; list++ {
			refs = append(refs, list)
		}
	case zoid < last:
		for i := last + zoid - lists - 1; i < n; i += last - lists - 1 {
			refs = append(refs, i)
		}
	default:
		return []int64{hub}
	}
	return refs
}

// cutHub cuts the hub off from what reached it first: another referrer is
// found. Then it becomes garbage with all its referrers, is attached again
// while these stay garbage, and goes with them in the end.
func cutHub(ctx context.Context, x *extreme) error {
	if err := x.commit(ctx, map[int64][]int64{0: {lists}}); err != nil {
		return err
	}
	if err := x.find(ctx, "one of the references goes", 0, 0); err != nil {
		return err
	}
	if err := x.commit(ctx, map[int64][]int64{0: nil}); err != nil {
		return err
	}
	if err := x.find(ctx, "cut", x.n-1, x.n-1); err != nil {
		return err
	}
	if err := x.commit(ctx, map[int64][]int64{0: {hub}}); err != nil {
		return err
	}
	if err := x.find(ctx, "attached again", 0, x.n-2); err != nil {
		return err
	}
	if err := x.commit(ctx, map[int64][]int64{0: nil}); err != nil {
		return err
	}
	if err := x.find(ctx, "cut again", 0, x.n-1); err != nil {
		return err
	}
	return x.remove(ctx, x.n-1)
}

// denseRefs: two halves in which everything refers to some hundred others, and
// the root to the first of each.
func denseRefs(n, zoid int64) []int64 {
	half := n / 2
	if zoid == 0 {
		return []int64{1, half}
	}
	low, high := int64(1), half
	if zoid >= half {
		low, high = half, n
	}
	random := rand.New(rand.NewPCG(1, uint64(zoid)))
	// Each of a half can be reached: one refers to the next.
	refs := []int64{low + (zoid-low+1)%(high-low)}
	for len(refs) < 100 {
		refs = append(refs, low+random.Int64N(high-low))
	}
	return refs
}

// cutDense cuts one half off. All of its references are looked at.
func cutDense(ctx context.Context, x *extreme) error {
	cut := x.n - x.n/2
	if err := x.commit(ctx, map[int64][]int64{0: {1}}); err != nil {
		return err
	}
	if err := x.find(ctx, "cut", cut*x.perReference, cut); err != nil {
		return err
	}
	return x.remove(ctx, cut)
}
