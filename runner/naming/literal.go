package naming

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"relpack/runner/pickle/tree"
)

// maxLiteral is how many characters of a key are shown.
const maxLiteral = 60

// Literal writes a key as Python does, as far as that can be told and is short.
// It is one line without control characters.
func Literal(n *tree.Node) string {
	var b strings.Builder
	literal(&b, n, 0)
	text := b.String()
	if utf8.RuneCountInString(text) > maxLiteral {
		text = string([]rune(text)[:maxLiteral]) + "…"
	}
	return text
}

func literal(b *strings.Builder, n *tree.Node, depth int) {
	if b.Len() > 4*maxLiteral || depth > 5 {
		b.WriteString("…")
		return
	}
	switch n.Kind {
	case tree.None:
		b.WriteString("None")
	case tree.Bool:
		b.WriteString([]string{"False", "True"}[n.Int&1])
	case tree.Int:
		b.WriteString(strconv.FormatInt(n.Int, 10))
	case tree.Number:
		b.WriteString(printable(n.Text))
	case tree.Text:
		quote(b, n.Text)
	case tree.Bytes:
		if n.Int == 0 || !utf8.Valid(n.Text) {
			quoteBytes(b, n.Text)
			return
		}
		quote(b, n.Text)
	case tree.Tuple:
		b.WriteString("(")
		for i, item := range n.Items {
			if i > 0 {
				b.WriteString(", ")
			}
			literal(b, item, depth+1)
		}
		if len(n.Items) == 1 {
			b.WriteString(",")
		}
		b.WriteString(")")
	case tree.Class:
		b.WriteString("<" + printable(n.Module) + "." + printable(n.Text) + ">")
	case tree.Ref:
		fmt.Fprintf(b, "<zoid %d>", n.Int)
	case tree.Instance:
		if class := n.Class(); class != nil && class.Kind == tree.Class {
			literal(b, class, depth+1)
			return
		}
		b.WriteString("…")
	default:
		b.WriteString("…")
	}
}

// quote writes a text between quotes.
func quote(b *strings.Builder, text []byte) {
	b.WriteByte('\'')
	for _, c := range string(text[:min(len(text), 8*maxLiteral)]) {
		switch {
		case c == '\'' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == ' ' || unicode.IsGraphic(c) && !unicode.IsSpace(c):
			b.WriteRune(c)
		case c < 0x100:
			fmt.Fprintf(b, `\x%02x`, c)
		default:
			fmt.Fprintf(b, `\u%04x`, c)
		}
	}
	b.WriteByte('\'')
}

func quoteBytes(b *strings.Builder, text []byte) {
	b.WriteString("b'")
	for _, c := range text[:min(len(text), 2*maxLiteral)] {
		switch {
		case c == '\'' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('\'')
}

// printable keeps ASCII.
func printable(text []byte) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, string(text[:min(len(text), 2*maxLiteral)]))
}

// Word is a string that may be an attribute's name in Python.
func Word(n *tree.Node) (string, bool) {
	if n == nil || n.Kind != tree.Text && n.Kind != tree.Bytes || len(n.Text) == 0 || len(n.Text) > 2*maxLiteral || !utf8.Valid(n.Text) {
		return "", false
	}
	for i, c := range string(n.Text) {
		if c != '_' && !unicode.IsLetter(c) && (i == 0 || !unicode.IsDigit(c)) {
			return "", false
		}
	}
	return string(n.Text), true
}

func digits(i int) string { return strconv.Itoa(i) }
