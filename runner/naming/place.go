package naming

import (
	"strings"

	"relpack/runner/pickle/tree"
)

// A Place is where an object refers to another.
type Place struct {
	// Name continues the holder's own name: ".title", "['news']", "[3]",
	// ".users[0]".
	Name string
	// Inner is set for references between the parts of a BTree: they have no name.
	Inner bool
	// Up is set where the attribute says who holds the holder, as __parent__ does.
	Up bool

	depth int
}

// Find tells where in its record an object refers to another: the best of these
// places, and in how many there are. 0 if there is none, or if it can't be told.
func Find(r tree.Record, zoid int64) (Place, int) {
	f := finder{zoid: zoid, met: map[*tree.Node]struct{}{}}
	f.state(r)
	if n := r.Class; n != nil && n.Kind == tree.Tuple && len(n.Items) > 1 {
		f.inside(n.Items[1], ".__getnewargs__()", 1)
	}
	return f.best, f.count
}

// finder looks for references to one object.
type finder struct {
	zoid  int64
	met   map[*tree.Node]struct{}
	best  Place
	count int
}

// found takes note of a place. The shallowest is the best; one that only says who
// holds the holder is the worst.
func (f *finder) found(p Place) {
	better := f.count == 0 || f.best.Up && !p.Up || f.best.Up == p.Up && p.depth < f.best.depth
	if f.count++; better {
		f.best = p
	}
}

// state looks through an object's state.
func (f *finder) state(r tree.Record) {
	state := r.State
	if state == nil {
		return
	}
	module, name := r.ClassName()
	if parts, ok := btree(module, name, state); ok {
		f.btree(parts)
		return
	}
	if data := wrapped(module, name, state); data != nil {
		f.inside(data, "", 0)
	}
	f.attributes(state, "", 0)
}

// btree looks through a node or a bucket of a BTree.
func (f *finder) btree(parts parts) {
	for _, link := range parts.links {
		if link.Kind == tree.Ref && link.Int == f.zoid {
			f.found(Place{Inner: true})
		}
	}
	for i, key := range parts.keys {
		f.inside(key, "<key "+Literal(key)+">", 1)
		if parts.values != nil {
			f.inside(parts.values[i], "["+Literal(key)+"]", 1)
		}
	}
}

// attributes looks through what an instance got as its state: a dictionary of its
// attributes, with one of its slots where it has such, or what it pleases.
func (f *finder) attributes(state *tree.Node, prefix string, depth int) {
	if slots := slotted(state); slots != nil {
		f.attributes(state.Items[0], prefix, depth)
		f.attributes(slots, prefix, depth)
		return
	}
	if state.Kind != tree.Dict {
		f.inside(state, prefix+".<state>", depth)
		return
	}
	if !f.enter(state, depth) {
		return
	}
	for i := 0; i+1 < len(state.Items); i += 2 {
		key, value := state.Items[i], state.Items[i+1]
		name := "[" + Literal(key) + "]"
		if word, ok := Word(key); ok {
			name = "." + word
		}
		if value.Kind == tree.Ref && value.Int == f.zoid {
			f.found(Place{Name: prefix + name, Up: prefix == "" && upward[name], depth: depth + 1})
			continue
		}
		f.inside(value, prefix+name, depth+1)
	}
}

// upward are attributes that say who holds an object.
var upward = map[string]bool{".__parent__": true, ".aq_parent": true}

// enter tells whether a node is to be looked through: once, and not for ever.
func (f *finder) enter(n *tree.Node, depth int) bool {
	if n == nil || depth > maxDepth {
		return false
	}
	if _, known := f.met[n]; known {
		return false
	}
	f.met[n] = struct{}{}
	return true
}

// maxDepth is how deep values may lie in each other to have a name.
const maxDepth = 50

// inside looks through a value whose name is prefix.
func (f *finder) inside(n *tree.Node, prefix string, depth int) {
	if n != nil && n.Kind == tree.Ref {
		if n.Int == f.zoid {
			f.found(Place{Name: prefix, depth: depth})
		}
		return
	}
	if !f.enter(n, depth) || len(prefix) > maxName {
		return
	}
	switch n.Kind {
	case tree.Tuple, tree.List:
		for i, item := range n.Items {
			f.inside(item, prefix+"["+digits(i)+"]", depth+1)
		}
	case tree.Set:
		for _, item := range n.Items {
			f.inside(item, prefix+"{"+Literal(item)+"}", depth+1)
		}
	case tree.Dict:
		f.pairs(n.Items, prefix, depth)
	case tree.Instance:
		if state := n.State(); state != nil {
			f.attributes(state, prefix, depth)
		}
		f.inside(n.Args(), prefix+".<arguments>", depth+1)
		for i, item := range n.Items {
			f.inside(item, prefix+"["+digits(i)+"]", depth+1)
		}
		f.pairs(n.Pairs(), prefix, depth)
	}
}

func (f *finder) pairs(pairs []*tree.Node, prefix string, depth int) {
	for i := 0; i+1 < len(pairs); i += 2 {
		f.inside(pairs[i], prefix+"<key "+Literal(pairs[i])+">", depth+1)
		f.inside(pairs[i+1], prefix+"["+Literal(pairs[i])+"]", depth+1)
	}
}

// maxName is how long a name may be.
const maxName = 500

// Attribute is what an object has as an attribute of this name; nil if it has none
// or if that can't be told.
func Attribute(r tree.Record, name string) *tree.Node {
	if r.State == nil {
		return nil
	}
	for _, dict := range []*tree.Node{r.State, slotted(r.State)} {
		if dict == nil || dict.Kind != tree.Dict {
			continue
		}
		for i := 0; i+1 < len(dict.Items); i += 2 {
			if word, ok := Word(dict.Items[i]); ok && word == name {
				return dict.Items[i+1]
			}
		}
	}
	return nil
}

// IsBTree tells whether a class is one of package BTrees' nodes and buckets.
func IsBTree(class string) bool {
	dot := strings.LastIndexByte(class, '.')
	return dot > 0 && partOf(class[:dot], class[dot+1:]) != 0
}

// IsContainer tells whether objects of a class only hold others.
func IsContainer(class string) bool { return IsBTree(class) || wrappers[class] }

// InnerPart tells, by its class, whether an object is an inner node or a bucket of the
// BTree, or of the bucket, that holds it. A BTree that is a value in another of the
// same class looks like an inner node where the other is so small that it has no
// bucket.
func InnerPart(holder, part string) bool {
	family, kind := familyOf(holder)
	other, inner := familyOf(part)
	if family == "" || family != other {
		return false
	}
	switch kind {
	case node, bucket:
		return inner == bucket || inner == node && kind == node
	default:
		return inner == set || inner == nodes && kind == nodes
	}
}

// familyOf takes a class of package BTrees apart: what its keys and values are, and
// what it is.
func familyOf(class string) (family string, kind rune) {
	dot := strings.LastIndexByte(class, '.')
	if dot < 0 {
		return "", 0
	}
	if kind = partOf(class[:dot], class[dot+1:]); kind == 0 {
		return "", 0
	}
	name := strings.TrimSuffix(class, "Py")
	for _, suffix := range []string{"BTree", "TreeSet", "Bucket", "Set"} {
		if rest, found := strings.CutSuffix(name, suffix); found {
			return rest, kind
		}
	}
	return "", 0
}

// HasTextKeys tells whether a class of package BTrees can have strings for keys, as
// folders have.
func HasTextKeys(class string) bool {
	family, _ := familyOf(class)
	dot := strings.LastIndexByte(family, '.')
	return dot >= 0 && strings.HasPrefix(family[dot+1:], "O")
}
