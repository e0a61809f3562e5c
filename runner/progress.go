package runner

// A Progress is told how far a long phase is.
type Progress interface {
	// Phase begins the next phase: what is counted, and how many there will
	// be; 0 when nobody knows.
	Phase(name, unit string, total int64)
	// Add says that n more are done. Safe for concurrent use.
	Add(n int64)
	// End ends the phase.
	End()
}

// silent is the Progress of those who want none.
type silent struct{}

func (silent) Phase(string, string, int64) {}
func (silent) Add(int64)                   {}
func (silent) End()                        {}
