package progress

// A Meter is told how far a long phase is.
type Meter interface {
	// Phase begins the next phase: what is counted, and how many there will
	// be; 0 when nobody knows.
	Phase(name, unit string, total int64)
	// Add says that n more are done. Safe for concurrent use.
	Add(n int64)
	// End ends the phase.
	End()
}

// Silent is the Progress of those who want none.
type Silent struct{}

func (Silent) Phase(string, string, int64) {}
func (Silent) Add(int64)                   {}
func (Silent) End()                        {}
