package inventory

import (
	"fmt"

	"relpack/runner/figures"
)

// A ClassCount is a Count of one class.
type ClassCount struct {
	Class   string `json:"class"`
	Objects int64  `json:"objects"`
	Bytes   int64  `json:"bytes"`
}

// String is for people.
func (c ClassCount) String() string {
	name := c.Class
	if name == "" {
		name = "class unknown"
	}
	return fmt.Sprintf("%s  %s", name, figures.Count{Objects: c.Objects, Bytes: c.Bytes})
}

// WriteClasses prints the largest for people, and how many more there are.
func WriteClasses(line figures.LineWriter, largest []ClassCount, more int64) {
	for i, c := range largest {
		line(figures.Once("by class", i), "%s", c)
	}
	if more > 0 {
		line("", "and %s", figures.Plural(more, "more class"))
	}
}
