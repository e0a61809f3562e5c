// Package preserved plays random histories of history-preserving storages against the
// rule of package revision: commits, cuts and pastes, undos of undos, whiteouts, rows
// restored or deleted by others, and packs in between, that collect garbage or leave
// it, up to times to and fro, only look, or are killed. A third of the storages are those
// of RelStorage 2.1, whose clients have clocks of their own. After each pack exactly what
// the rule keeps must be stored, and what can be undone must be as it was. A simple
// pack with mistakes in it, and mistakes in relpack's, show that it would be noticed.
// All of it is tests.
package preserved
