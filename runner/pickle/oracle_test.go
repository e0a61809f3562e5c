package pickle

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// The oracle is a second opinion: a plain pickle machine that builds values,
// written from pickletools' descriptions and without regard to speed. It shares
// no code with the scanner.

type (
	pyBytes string // bytes, and str of Python 2
	pyText  string // UTF-8, as far as the pickle kept to it
	pyTuple []any
	pyList  struct{ items []any }
	pyClass struct {
		module, name string
		old          bool // named by the instruction that protocols 0 to 3 have
	}
	pyLatin1 string           // bytes that were called out of a text
	pyResult struct{}         // of a call
	pyThing  struct{ string } // anything else
	pyMark   struct{}
)

type verdict struct {
	refs         []int64
	foreign      int
	module, name string
	kind         Kind // 0: sound
	err          error
}

type oracle struct {
	stack   []any
	memo    map[string]any
	verdict verdict
}

var errOpaque = errors.New("opaque")

func ask(record []byte) verdict {
	if bytes.HasPrefix(record, []byte(".z")) {
		r, err := zlib.NewReader(bytes.NewReader(record[2:]))
		if err == nil {
			record, err = io.ReadAll(r)
		}
		if err != nil {
			return verdict{kind: Opaque, err: err}
		}
	}
	if bytes.HasPrefix(record, []byte(".e")) {
		return verdict{kind: Opaque, err: errors.New("encrypted")}
	}
	var listing []instr
	rest := record
	var err error
	for range 2 {
		var part []instr
		if part, rest, err = disassemble(rest); err != nil {
			return verdict{kind: Opaque, err: err, module: "?"}
		}
		listing = append(listing, part...)
	}
	o := oracle{memo: map[string]any{}}
	first := true
	for _, in := range listing {
		if err := o.run(in); err != nil {
			v := verdict{kind: Odd, err: err, module: o.verdict.module, name: o.verdict.name}
			if errors.Is(err, errOpaque) || spoilt(record, listing) {
				v.kind = Opaque
			}
			return v
		}
		if in.op == '.' {
			if first {
				o.verdict.module, o.verdict.name = classOf(o.stack[len(o.stack)-1])
			}
			first = false
			o.stack = nil
		}
	}
	return o.verdict
}

// spoilt: oids may be spelled otherwise than by their bytes.
func spoilt(record []byte, listing []instr) bool {
	for _, in := range listing {
		escapes := strings.Contains(in.arg, `\`)
		if escapes && (in.op == 'S' || in.op == 'V' || in.op == 'P' && len(in.arg) != 8) {
			return true
		}
	}
	return strings.Contains(string(record), "_codecs")
}

func classOf(v any) (string, string) {
	str := func(v any) string {
		switch v := v.(type) {
		case pyBytes:
			return string(v)
		case pyText:
			return string(v)
		}
		return ""
	}
	if t, ok := v.(pyTuple); ok && len(t) > 0 {
		v = t[0]
		if t, ok := v.(pyTuple); ok && len(t) == 2 && str(t[0]) != "" && str(t[1]) != "" {
			return str(t[0]), str(t[1])
		}
	}
	if c, ok := v.(pyClass); ok {
		return c.module, c.name
	}
	return "", ""
}

func (o *oracle) run(in instr) (err error) {
	defer func() {
		if r := recover(); r != nil { // pop and mark panic
			err = fmt.Errorf("%v", r)
		}
	}()
	push := func(v any) { o.stack = append(o.stack, v) }
	pop := func() any {
		v := o.stack[len(o.stack)-1]
		if v == (pyMark{}) {
			panic("popped a mark")
		}
		o.stack = o.stack[:len(o.stack)-1]
		return v
	}
	mark := func() []any {
		for i := len(o.stack) - 1; ; i-- {
			if o.stack[i] == (pyMark{}) {
				items := slices.Clone(o.stack[i+1:])
				o.stack = o.stack[:i]
				return items
			}
		}
	}
	peek := func() any { v := pop(); push(v); return v }
	thing := pyThing{"thing"}
	switch in.op {
	case '(':
		push(pyMark{})
	case 0x80, 0x95:
	case 'F', 'G', 'I', 'J', 'K', 'L', 'M', 'N', '}', 0x88, 0x89, 0x8a, 0x8b, 0x8f, 0x96, 0x82, 0x83, 0x84:
		push(thing)
	case 0x97:
		push(pyResult{})
	case 0x98:
		peek()
	case 'B', 'C', 'T', 'U', 0x8e:
		push(pyBytes(in.arg))
	case 'X', 0x8c, 0x8d:
		push(pyText(in.arg))
	case 'S':
		n := len(in.arg)
		if n < 2 || in.arg[0] != in.arg[n-1] || in.arg[0] != '"' && in.arg[0] != '\'' {
			return errors.New("quotes")
		}
		push(unrepr(in.arg[1 : n-1]))
	case 'V':
		push(rawUnicode(in.arg))
	case 'c':
		push(pyClass{in.arg, in.arg2, true})
	case 0x93:
		name, module := pop(), pop()
		n, isN := asString(name)
		m, isM := asString(module)
		if !isN || !isM {
			return errors.New("STACK_GLOBAL")
		}
		push(pyClass{m, n, false})
	case ')':
		push(pyTuple{})
	case 0x85:
		push(pyTuple{pop()})
	case 0x86:
		b, a := pop(), pop()
		push(pyTuple{a, b})
	case 0x87:
		c, b, a := pop(), pop(), pop()
		push(pyTuple{a, b, c})
	case 't':
		push(pyTuple(mark()))
	case ']':
		push(&pyList{})
	case 'l':
		push(&pyList{mark()})
	case 'd', 0x91:
		mark()
		push(thing)
	case 'a':
		v := pop()
		if l, ok := peek().(*pyList); ok {
			l.items = append(l.items, v)
		}
	case 'e':
		items := mark()
		if l, ok := peek().(*pyList); ok {
			l.items = append(l.items, items...)
		}
	case 's':
		pop()
		pop()
		peek()
	case 'u', 0x90:
		mark()
		peek()
	case 'b':
		pop()
		peek()
	case 'R':
		args, function := pop(), pop()
		push(call(function, args))
	case 0x81:
		pop()
		pop()
		push(pyResult{})
	case 0x92:
		pop()
		pop()
		pop()
		push(pyResult{})
	case 'i':
		mark()
		push(pyResult{})
	case 'o':
		if len(mark()) == 0 {
			return errors.New("OBJ")
		}
		push(pyResult{})
	case '0':
		if o.stack[len(o.stack)-1] == (pyMark{}) {
			mark()
		} else {
			pop()
		}
	case '1':
		mark()
	case '2':
		push(peek())
	case '.':
		peek()
	case 'p', 'q', 'r', 0x94, 'g', 'h', 'j':
		key, err := o.key(in)
		if err != nil {
			return err
		}
		if in.op >= 'p' {
			o.memo[key] = peek()
			break
		}
		v, ok := o.memo[key]
		if !ok {
			return errors.New("memo")
		}
		push(v)
	case 'P':
		if err := o.persid(pyBytes(in.arg)); err != nil {
			return err
		}
		push(thing)
	case 'Q':
		if err := o.persid(pop()); err != nil {
			return err
		}
		push(thing)
	default:
		panic(fmt.Sprintf("oracle lacks %q", in.op))
	}
	return nil
}

func (o *oracle) key(in instr) (string, error) {
	switch in.op {
	case 'p', 'g':
		if in.arg == "" || strings.Trim(in.arg, "0123456789") != "" {
			return "", errors.New("number")
		}
		n, _ := new(big.Int).SetString(in.arg, 10)
		if !n.IsInt64() {
			return "", errors.New("number")
		}
		return n.String(), nil
	case 0x94:
		return strconv.Itoa(len(o.memo)), nil
	}
	le := append([]byte(in.arg), 0, 0, 0, 0)
	return strconv.FormatUint(uint64(binary.LittleEndian.Uint32(le)), 10), nil
}
