package pickle

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

type instr struct {
	op   byte
	arg  string // without length, newline
	arg2 string
}

// fixed maps opcodes to the number of argument bytes.
var fixed = map[byte]int{'J': 4, 'K': 1, 'M': 2, 'G': 8, 'h': 1, 'j': 4, 'q': 1, 'r': 4,
	0x80: 1, 0x82: 1, 0x83: 2, 0x84: 4, 0x95: 8}

// prefixed maps opcodes to the size of the length in front of the argument.
var prefixed = map[byte]int{'B': 4, 'C': 1, 'T': 4, 'U': 1, 'X': 4,
	0x8a: 1, 0x8b: 4, 0x8c: 1, 0x8d: 8, 0x8e: 8, 0x96: 8}

const (
	bare  = "().012NQR]abdelostu}\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94\x97\x98"
	lined = "FILPSVgp"
)

func disassemble(data []byte) (listing []instr, rest []byte, err error) {
	r := bytes.NewReader(data)
	read := func(n uint64) string {
		if n > uint64(r.Len()) {
			err = io.ErrUnexpectedEOF
			return ""
		}
		b := make([]byte, n)
		r.Read(b)
		return string(b)
	}
	line := func() string {
		var b []byte
		for {
			c, e := r.ReadByte()
			if e != nil {
				err = io.ErrUnexpectedEOF
				return ""
			}
			if c == '\n' {
				return string(b)
			}
			b = append(b, c)
		}
	}
	for {
		in := instr{}
		if in.op, err = r.ReadByte(); err != nil {
			return nil, nil, err
		}
		size, isFixed := fixed[in.op]
		prefix, isPrefixed := prefixed[in.op]
		switch {
		case strings.IndexByte(bare, in.op) >= 0:
		case isFixed:
			in.arg = read(uint64(size))
			if in.op == 0x80 && err == nil && in.arg[0] > 5 {
				err = errors.New("protocol")
			}
		case isPrefixed:
			le := []byte(read(uint64(prefix)))
			n := binary.LittleEndian.Uint64(append(le, make([]byte, 8)...))
			if (in.op == 'T' || in.op == 0x8b) && n >= 1<<31 {
				err = errors.New("negative")
			}
			if err == nil {
				in.arg = read(n)
			}
		case strings.IndexByte(lined, in.op) >= 0:
			in.arg = line()
		case in.op == 'c' || in.op == 'i':
			in.arg = line()
			in.arg2 = line()
		default:
			err = fmt.Errorf("opcode %q", in.op)
		}
		if err != nil {
			return nil, nil, err
		}
		listing = append(listing, in)
		if in.op == '.' {
			return listing, data[len(data)-r.Len():], nil
		}
	}
}
