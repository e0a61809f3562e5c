// Package fault is how a command fails: an [Error] has an exit code and a hint,
// a refusal of relpack's functions in the database keeps the code that it was
// raised with, and each is told in one line.
package fault
