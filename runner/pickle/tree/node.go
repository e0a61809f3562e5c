package tree

// A Kind says what a node is.
type Kind uint8

// The kinds of nodes.
const (
	Unknown  Kind = iota // what can't be told: an extension code, a buffer that lies elsewhere
	None                 //
	Bool                 // Int is 0 or 1
	Int                  // Int
	Number               // any other number; Text is how it reads in Python
	Text                 // Text, in UTF-8
	Bytes                // Text; Int is 1 where it is str of Python 2
	Tuple                // Items
	List                 // Items
	Set                  // Items
	Dict                 // Items are key, value, key, value ...
	Class                // Text is the name, Module its module
	Instance             // Class, Args, State; Items if it is a list, too, Pairs if it is a dictionary
	Ref                  // a reference: Int is the oid, Class the class that the reference names, or nil
	Weak                 // a weak reference: Int is the oid
	Foreign              // an object of another database: Text is its name, Int the oid
)

// A Node is a value in a record.
type Node struct {
	Kind   Kind
	Int    int64
	Text   []byte // a view of the record
	Module []byte
	Items  []*Node
	more   *instance
}

// instance is what few nodes have.
type instance struct {
	class, args, state *Node
	pairs              []*Node
}

// extra is the part that few nodes have.
func (n *Node) extra() *instance {
	if n.more == nil {
		n.more = &instance{}
	}
	return n.more
}

// Class is the class of an Instance or a Ref; nil where none is named.
func (n *Node) Class() *Node {
	if n.more == nil {
		return nil
	}
	return n.more.class
}

// Args are the arguments that an Instance is made with, a Tuple; or nil.
func (n *Node) Args() *Node {
	if n.more == nil {
		return nil
	}
	return n.more.args
}

// State is what an Instance is given afterwards, as a rule the Dict of its
// attributes; or nil.
func (n *Node) State() *Node {
	if n.more == nil {
		return nil
	}
	return n.more.state
}

// Pairs are key, value, key, value ... of a Dict, or of an Instance that is one.
func (n *Node) Pairs() []*Node {
	switch {
	case n.Kind == Dict:
		return n.Items
	case n.more == nil:
		return nil
	}
	return n.more.pairs
}

// Is reports whether the node is a Class of this name.
func (n *Node) Is(module, name string) bool {
	return n != nil && n.Kind == Class && string(n.Module) == module && string(n.Text) == name
}

// Walk calls visit for n and all nodes under it, each once, parents first, with
// how deep it lies. It doesn't go into what visit returns false for, nor below a
// depth of 1000.
func (n *Node) Walk(visit func(n *Node, depth int) bool) {
	met := map[*Node]struct{}{}
	var walk func(n *Node, depth int)
	walk = func(n *Node, depth int) {
		if n == nil || depth > maxDepth {
			return
		}
		if _, known := met[n]; known {
			return
		}
		met[n] = struct{}{}
		if !visit(n, depth) {
			return
		}
		for _, item := range n.Items {
			walk(item, depth+1)
		}
		if n.more != nil {
			walk(n.more.class, depth+1)
			walk(n.more.args, depth+1)
			walk(n.more.state, depth+1)
			for _, item := range n.more.pairs {
				walk(item, depth+1)
			}
		}
	}
	walk(n, 0)
}

// maxDepth bounds the stack of Walk.
const maxDepth = 1000
