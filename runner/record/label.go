package record

import "relpack/runner/pickle"

// Labels tells classes without their numbers.
type Labels struct{ scanner pickle.Scanner }

// Of is what relpack.class calls the class of a state of which this is the beginning.
func (l *Labels) Of(head []byte) string {
	module, name := l.scanner.ClassOf(head)
	switch {
	case len(name) == 0:
		return "(unknown)"
	case len(module) == 0:
		return pickle.Plain(name)
	}
	return pickle.Plain(module) + "." + pickle.Plain(name)
}
