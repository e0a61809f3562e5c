package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// The figures that are compared between sites of several sizes.
const (
	firstPack     = "first pack"
	changedObject = "after 0.1 % changed: relpack, an object"
)

// scale keeps what was measured, and compares it with what was measured before on
// the sites of other sizes that are kept.
func (s *realSite) scale() error {
	if err := s.results.save(s.file() + ".json"); err != nil {
		return err
	}
	kept, err := filepath.Glob(filepath.Join(s.cache, s.kept("*", "*")+".json"))
	if err != nil {
		return err
	}
	for _, path := range kept {
		// One that is gone was made by other scripts, or is of no interest any more.
		if path == s.file()+".json" || !exists(strings.TrimSuffix(path, ".json")) {
			continue
		}
		other, err := load(path)
		if err != nil {
			return err
		}
		s.addScale(other)
	}
	return nil
}

// addScale enters how the larger of two sites compares with the smaller: 12 times
// the time may be taken for 10 times the objects, and a changed object may cost
// 1.5 times as much.
func (r *results) addScale(other *results) {
	small, large := other, r
	if small.Objects > large.Objects {
		small, large = large, small
	}
	times := ratio(float64(large.Objects), float64(small.Objects))
	if times < 2 {
		return
	}
	note := fmt.Sprintf("the other one measured on %s with relpack %s", other.Date.Format(time.DateTime), other.Relpack)
	what := fmt.Sprintf("%d objects / %d: ", large.Objects, small.Objects)
	r.add(figure{Name: what + "first pack", Value: ratio(large.value(firstPack), small.value(firstPack)), Unit: "x", Must: 1.2 * times, Note: note})
	r.add(figure{Name: what + "a changed object", Value: ratio(large.value(changedObject), small.value(changedObject)), Unit: "x", Must: 1.5, Note: note})
}
