package zodbtest

import (
	"fmt"
	"slices"
	"strings"

	"relpack/sql"
)

// Mutated is a definition of sql/ with parts replaced: each is followed by what
// comes in its place.
func Mutated(name string, parts ...string) (string, error) {
	file, err := sql.Files.ReadFile(name + ".sql")
	if err != nil {
		return "", err
	}
	text := string(file)
	for pair := range slices.Chunk(parts, 2) {
		if strings.Count(text, pair[0]) != 1 {
			return "", fmt.Errorf("sql/%s.sql does not have this exactly once: %q", name, pair[0])
		}
		text = strings.Replace(text, pair[0], pair[1], 1)
	}
	return text, nil
}
