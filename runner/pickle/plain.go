package pickle

import (
	"fmt"
	"strings"
)

// Plain makes any bytes storable in any server encoding.
func Plain(name []byte) string {
	var b strings.Builder
	for _, c := range name[:min(len(name), 500)] {
		if c < ' ' || c > '~' {
			fmt.Fprintf(&b, `\x%02x`, c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
