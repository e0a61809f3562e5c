package inventory

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

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

// ClassHistory is how many revisions there are of the objects of a class.
type ClassHistory struct {
	Class     string `json:"class"`
	Revisions int64  `json:"revisions"`
	Bytes     int64  `json:"bytes"` // of their states
}

// MostHistory puts those with the most bytes first.
func MostHistory(classes map[string]ClassHistory) []ClassHistory {
	return slices.SortedFunc(maps.Values(classes), func(a, b ClassHistory) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Class, b.Class))
	})
}

// WriteHistory prints the first few for people.
func WriteHistory(line figures.LineWriter, classes []ClassHistory) {
	few := classes[:min(len(classes), 10)]
	for i, c := range few {
		line(figures.Once("their classes", i), "%s  %s, %s", c.Class, figures.Plural(c.Revisions, "revision"), figures.Size(c.Bytes))
	}
	if more := len(classes) - len(few); more > 0 {
		line("", "and %s", figures.Plural(int64(more), "more class"))
	}
}
