package naming

import (
	"strings"

	"relpack/runner/pickle/tree"
)

// slotted is the dictionary of an instance's slots, if its state has one: (None
// or the dictionary of its attributes, that of its slots).
func slotted(state *tree.Node) *tree.Node {
	if state.Kind == tree.Tuple && len(state.Items) == 2 && state.Items[1].Kind == tree.Dict &&
		(state.Items[0].Kind == tree.Dict || state.Items[0].Kind == tree.None) {
		return state.Items[1]
	}
	return nil
}

// wrappers are classes that are a dictionary or a list to those who use them, and
// keep it in an attribute.
var wrappers = map[string]bool{
	"persistent.mapping.PersistentMapping": true, "persistent.dict.PersistentDict": true,
	"persistent.list.PersistentList": true, "persistent.wref.PersistentWeakKeyDictionary": true,
	"ZODB.PersistentMapping.PersistentMapping": true, "ZODB.PersistentList.PersistentList": true,
	"Persistence.PersistentMapping.PersistentMapping": true, "PersistentMapping.PersistentMapping": true,
}

// wrapped is the dictionary or list that an object is to those who use it. Classes
// derived from the above are known by having no other attribute.
func wrapped(module, name string, state *tree.Node) *tree.Node {
	if state.Kind != tree.Dict || !wrappers[module+"."+name] && len(state.Items) != 2 {
		return nil
	}
	for i := 0; i+1 < len(state.Items); i += 2 {
		word, _ := Word(state.Items[i])
		value := state.Items[i+1]
		if (word == "data" || word == "_container") && (value.Kind == tree.Dict || value.Kind == tree.List) {
			return value
		}
	}
	return nil
}

// parts are what a node or a bucket of a BTree is made of.
type parts struct {
	links  []*tree.Node // to other parts
	keys   []*tree.Node
	values []*tree.Node // as many as keys; nil in a set
}

// What a class of package BTrees is.
const (
	node   = 'n' // has children
	bucket = 'b' // has keys and values
	set    = 's' // has keys
	nodes  = 't' // of a tree of sets
)

// partOf tells what a class of package BTrees is; 0 for others. Old records name
// the classes that are written in Python.
func partOf(module, name string) rune {
	if !strings.HasPrefix(module, "BTrees.") {
		return 0
	}
	name = strings.TrimSuffix(name, "Py")
	switch {
	case strings.HasSuffix(name, "BTree"):
		return node
	case strings.HasSuffix(name, "TreeSet"):
		return nodes
	case strings.HasSuffix(name, "Bucket"):
		return bucket
	case strings.HasSuffix(name, "Set"):
		return set
	}
	return 0
}

// btree takes the state of a BTree, a TreeSet, a Bucket or a Set apart
// (BTreeTemplate.c, BucketTemplate.c and SetTemplate.c of BTrees, __getstate__).
// Classes derived from them are known by the shape of their state:
//
//	((key, value, key, value ...),)                a bucket
//	((key, value ...), next)                       a bucket with one behind it
//	((key, key ...),), ((key ...), next)           the same of a set
//	((child, key, child ... key, child), first)    a node, and the first bucket
//	((((key, value ...),),),)                      a tree with a single small bucket
func btree(module, name string, state *tree.Node) (parts, bool) {
	kind := partOf(module, name)
	if kind != 0 && state.Kind == tree.None {
		return parts{}, true
	}
	if state.Kind != tree.Tuple || len(state.Items) == 0 || len(state.Items) > 2 ||
		slotted(state) != nil || state.Items[0].Kind != tree.Tuple {
		return parts{}, false
	}
	first := state.Items[0]
	if kind == 0 {
		if kind = guess(state); kind == 0 {
			return parts{}, false
		}
	}
	switch {
	case kind != node && kind != nodes:
		return entries(first, state.Items[1:], kind == set), true
	case len(state.Items) == 1:
		small := first
		if len(small.Items) == 1 && small.Items[0].Kind == tree.Tuple && len(small.Items[0].Items) > 0 {
			small = small.Items[0].Items[0]
		}
		return entries(small, nil, kind == nodes), true
	}
	found := parts{links: []*tree.Node{state.Items[1]}}
	for i, item := range first.Items {
		if i%2 == 0 {
			found.links = append(found.links, item)
		} else {
			found.keys = append(found.keys, item)
		}
	}
	return found, true
}

// entries are those of a bucket, and the link to the next.
func entries(items *tree.Node, links []*tree.Node, isSet bool) parts {
	found := parts{links: links}
	if isSet {
		found.keys = items.Items
		return found
	}
	found.values = []*tree.Node{}
	for i := 0; i+1 < len(items.Items); i += 2 {
		found.keys = append(found.keys, items.Items[i])
		found.values = append(found.values, items.Items[i+1])
	}
	return found
}

// guess tells by its shape what a state is that no other class writes.
func guess(state *tree.Node) rune {
	first := state.Items[0]
	if len(state.Items) == 2 {
		if state.Items[1].Kind != tree.Ref {
			return 0
		}
		for i := 0; i < len(first.Items); i += 2 {
			if first.Items[i].Kind != tree.Ref {
				return bucket
			}
		}
		return node
	}
	if len(first.Items) == 1 && first.Items[0].Kind == tree.Tuple && len(first.Items[0].Items) == 1 &&
		first.Items[0].Items[0].Kind == tree.Tuple {
		return node
	}
	return bucket
}
