package zodbgen

import (
	"strings"
	"unicode/utf8"
)

// random is splitmix64: one number of state, so that each item has a sequence
// of its own, found by its number.
type random uint64

// randomOf is the sequence of thing n of a kind.
func randomOf(seed uint64, kind string, n int64) random {
	r := random(seed)
	for i := range len(kind) {
		r = random(r.next() ^ uint64(kind[i]))
	}
	r = random(r.next() ^ uint64(n))
	r.next()
	return r
}

func (r *random) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below is an integer in [0, n).
func (r *random) below(n int64) int64 { return int64(r.next() >> 1 % uint64(n)) }

// between is an integer in [low, high].
func (r *random) between(low, high int64) int64 { return low + r.below(high-low+1) }

// chance is true with probability p.
func (r *random) chance(p float64) bool { return float64(r.next()>>11)/(1<<53) < p }

// text is a piece of so many bytes, or a few less: never half a letter.
func (r *random) text(size int64) string {
	size = min(size, int64(len(lorem)-4))
	from := r.below(int64(len(lorem)) - size)
	to := from + size
	for from < to && !utf8.RuneStart(lorem[from]) {
		from++
	}
	for to > from && to < int64(len(lorem)) && !utf8.RuneStart(lorem[to]) {
		to--
	}
	return lorem[from:to]
}

const hexDigits = "0123456789abcdef"

// hex is so many random hexadecimal digits.
func (r *random) hex(digits int) string {
	var b [32]byte
	for i := 0; i < digits; i += 16 {
		n := r.next()
		for j := i; j < min(i+16, digits); j++ {
			b[j] = hexDigits[n&15]
			n >>= 4
		}
	}
	return string(b[:digits])
}

// lorem is what texts are cut from: longer than any of them.
var lorem = makeLorem(256 << 10)

func makeLorem(size int) string {
	words := strings.Fields(`lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor
		incididunt ut labore et dolore magna aliqua enim ad minim veniam quis nostrud exercitation ullamco
		laboris nisi aliquip ex ea commodo consequat duis aute irure in reprehenderit voluptate velit esse
		cillum eu fugiat nulla pariatur excepteur sint occaecat cupidatat non proident sunt culpa qui officia
		deserunt mollit anim id est laborum <p> </p> <strong> </strong> größe straße gänzlich`)
	r := random(1)
	var b strings.Builder
	for b.Len() < size {
		b.WriteString(words[r.below(int64(len(words)))])
		b.WriteByte(' ')
	}
	return b.String()
}
